//! `tce describe`.

use super::{BAD, folder, servers, tce, tce_in};

const IDL: &str = "\
module test {
    /// What the server offers.
    interface Server {
        string echo(string text);
        void timeout(int secs);
    };
};
";

#[test]
fn a_file_or_a_part_of_it_is_described() {
    let folder = folder(&[("test.idl", IDL)]);
    let ran = tce_in(folder.path(), &["describe", "test.idl"]).exits(0);
    let expected = "module test\n\ninterface Server, index 0\n    What the server offers.\n  0  string echo(string text)\n  1  void timeout(int secs)\n";
    assert_eq!((ran.out.as_str(), ran.err.as_str()), (expected, ""));
    for name in ["test.Server.echo", "Server.echo"] {
        let ran = tce_in(folder.path(), &["describe", "test.idl", name]).exits(0);
        assert_eq!(
            ran.out,
            expected.replace("  1  void timeout(int secs)\n", "")
        );
    }
}

#[test]
fn json_and_interface_defs_are_written() {
    let folder = folder(&[("test.idl", IDL)]);
    let ran = tce_in(folder.path(), &["describe", "test.idl", "--format", "json"]).exits(0);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["modules"][0]["files"][0], "test.idl");
    assert_eq!(
        json["modules"][0]["interfaces"][0]["operations"][1]["name"],
        "timeout"
    );
    let ran = tce_in(folder.path(), &["describe", "test.idl", "--interface-defs"]).exits(0);
    assert_eq!(
        ran.out,
        "<InterfaceDef>\n\t<if id=\"0\" name=\"test.Server\"/>\n</InterfaceDef>\n"
    );
}

#[test]
fn an_unknown_name_is_a_usage_error_and_idl_errors_are_shown() {
    let folder = folder(&[("test.idl", IDL), ("bad.idl", BAD)]);
    let ran = tce_in(folder.path(), &["describe", "test.idl", "Sever"]).exits(2);
    assert_eq!(
        ran.err,
        "error: no module, type, interface or operation is called `Sever`: did you mean `Server`?\n"
    );
    tce_in(folder.path(), &["describe", "bad.idl"])
        .exits(1)
        .complains("1 error in 1 file");
    let both = [
        "describe",
        "test.idl",
        "--interface-defs",
        "--format",
        "json",
    ];
    tce_in(folder.path(), &both)
        .exits(2)
        .complains("cannot be used with");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_types_of_a_server_are_described() {
    let (_adapter, endpoint) = servers::zoo().await;
    let whole = tce(&["describe", &endpoint]).exits(0);
    for line in [
        "struct Pet\n",
        "sequence<Pet> PetList\n",
        "dictionary<string, int> StrInt\n",
    ] {
        assert!(whole.out.contains(line), "{}", whole.out);
    }
    let pet = tce(&["describe", &endpoint, "Pet"]).exits(0);
    assert!(
        pet.out
            .starts_with("module zoo\n\nstruct Pet\n  string name\n"),
        "{pet:?}"
    );
    tce(&["describe", &endpoint, "Pett"])
        .exits(2)
        .complains("did you mean `Pet`?");
    tce(&["describe", "tcp://localhost:1"])
        .exits(1)
        .complains("Try this: start the server");
    tce(&["describe", &endpoint, "Pet", "Pets"])
        .exits(2)
        .complains("name one endpoint");
}
