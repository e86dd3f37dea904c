# A gateway in a container:
#   docker build --tag tce-gateway .
#   docker run --volume ./services.xml:/etc/tce/services.xml:ro --publish 12002:12002 tce-gateway
# Endpoints listen on host="" in a container, the admin page on `--set admin=0.0.0.0:9600`.

FROM rust:1.89-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --release --package tce-gateway --bin tce-gateway

# Has glibc and the certificates of public authorities, and neither a shell nor a package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/tce-gateway /usr/local/bin/tce-gateway
# TCP, WebSocket; health checks and metrics.
EXPOSE 12002 12001 9600
# SIGTERM, the default of `docker stop`, drains the gateway for `shutdown_time` (10 s): give it longer.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/tce-gateway"]
CMD ["/etc/tce/services.xml"]
