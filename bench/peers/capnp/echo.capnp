# The service of the peer capnp. After a change: capnp compile -o- echo.capnp > echo.request
@0xbc31544f41fac629;

interface Echo {
  echo @0 (text :Text) -> (text :Text);
}
