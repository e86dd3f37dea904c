//! `--check` finds whatever would keep a gateway from starting.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// A short key, which no TLS library signs with.
const SHORT_KEY: &[u8] = include_bytes!("rsa_1024.key");

/// A folder with two certificates and their keys, and files that are neither.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        for name in ["good", "other"] {
            let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
            files.write(&format!("{name}.pem"), made.cert.pem().as_bytes());
            files.write(
                &format!("{name}.key"),
                made.signing_key.serialize_pem().as_bytes(),
            );
        }
        files.dated("expired", 2001, 2002);
        files.dated("future", 4001, 4002);
        files.write("short.key", SHORT_KEY);
        files.write("broken.pem", b"broken\n");
        let garbage = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        files.write("garbage.pem", garbage.as_bytes());
        files
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A certificate that is valid between two years, and its key.
    fn dated(&self, name: &str, from: i32, to: i32) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        self.write(&format!("{name}.pem"), certificate.pem().as_bytes());
        self.write(&format!("{name}.key"), key.serialize_pem().as_bytes());
    }

    fn gateway(&self, services: &str, arguments: &[&str]) -> Output {
        self.write("services.xml", services.as_bytes());
        Command::new(env!("CARGO_BIN_EXE_tce-gateway"))
            .current_dir(self.0.path())
            .arg("services.xml")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the program runs")
    }
}

/// Two gateways with a server behind them. Clients use TLS at `one`.
struct Services {
    client_tls: &'static str,
    server: &'static str,
    one: &'static str,
    two: &'static str,
    two_port: u16,
}

const GOOD: Services = Services {
    client_tls: r#"certfile="good.pem" keyfile="good.key""#,
    server: r#"host="localhost""#,
    one: "",
    two: "",
    two_port: 0,
};

impl Services {
    fn text(&self) -> String {
        let Self {
            client_tls,
            server,
            one,
            two,
            two_port,
        } = self;
        format!(
            r#"<SNS>
  <InterfaceDef><if id="2" name="test.Server"/></InterfaceDef>
  <EndPoints>
    <ep name="clients" type="socket" host="localhost" port="39157" {client_tls}/>
    <ep name="others" type="socket" host="0.0.0.0" port="{two_port}" path="/ignored"/>
    <ep name="server" type="socket" port="12003" {server}/> <ep name="events" type="qpid" host="localhost" port="5672" address="events;{{create:always}}"/>
  </EndPoints>
  <servers>
    <server name="one">
      <route if="test.Server"><call in="clients" out="server"/></route>
      <properties><property name="listen" value="clients"/>{one}</properties>
    </server>
    <server name="two">
      <route if="test.Server"><call in="others" out="server"/></route>
      <properties><property name="listen" value="others"/>{two}</properties>
    </server>
  </servers>
</SNS>
"#
        )
    }
}

/// Without the columns of locations.
fn reported(errors: Vec<u8>) -> String {
    let errors = String::from_utf8(errors).unwrap();
    let lines = errors.lines().map(|line| {
        let mut parts: Vec<_> = line.splitn(4, ':').collect();
        if parts[0] == "services.xml" && parts[2].parse::<usize>().is_ok() {
            parts.remove(2);
        }
        parts.join(":") + "\n"
    });
    lines.collect()
}

/// A mistake, and what is reported about it.
struct Mistake {
    services: Services,
    arguments: &'static [&'static str],
    reported: &'static str,
}

fn mistakes() -> Vec<Mistake> {
    let of = |services, reported| Mistake {
        services,
        arguments: &["one"],
        reported,
    };
    let client_tls = |client_tls, reported| of(Services { client_tls, ..GOOD }, reported);
    let server = |server, reported| of(Services { server, ..GOOD }, reported);
    let one = |one, reported| of(Services { one, ..GOOD }, reported);
    let both = |services, arguments, reported| Mistake {
        services,
        arguments,
        reported,
    };
    vec![
        client_tls(
            r#"certfile="gone.pem" keyfile="good.key""#,
            "services.xml:4: `clients`: gone.pem: ",
        ),
        client_tls(
            r#"certfile="good.pem" keyfile="gone.key""#,
            "services.xml:4: `clients`: gone.key: ",
        ),
        client_tls(
            r#"certfile="broken.pem" keyfile="good.key""#,
            "services.xml:4: `clients`: broken.pem: the file has no certificate",
        ),
        client_tls(
            r#"certfile="garbage.pem" keyfile="good.key""#,
            "services.xml:4: `clients`: garbage.pem: the certificate can't be used: ",
        ),
        client_tls(
            r#"certfile="good.pem" keyfile="good.pem""#,
            "services.xml:4: `clients`: good.pem: the file has no private key",
        ),
        client_tls(
            r#"certfile="good.pem" keyfile="other.key""#,
            "services.xml:4: `clients`: other.key: the key does not belong to the certificate in good.pem",
        ),
        client_tls(
            r#"certfile="good.pem" keyfile="short.key""#,
            "services.xml:4: `clients`: short.key: the RSA key is too short: it has 1024 bits, and needs at least 2048",
        ),
        client_tls(
            r#"certfile="good.pem" keyfile="good.key" cafile="gone.pem""#,
            "services.xml:4: `clients`: gone.pem: ",
        ),
        client_tls(
            r#"certfile="good.pem" keyfile="good.key" cafile="broken.pem""#,
            "services.xml:4: `clients`: broken.pem: the file has no certificate",
        ),
        client_tls(
            r#"certfile="good.pem" keyfile="good.key" cafile="garbage.pem""#,
            "services.xml:4: `clients`: garbage.pem: the authority can't be used: ",
        ),
        server(
            r#"host="localhost" cafile="gone.pem""#,
            "services.xml:6: `server`: gone.pem: ",
        ),
        server(
            r#"host="localhost" certfile="good.pem" keyfile="other.key""#,
            "services.xml:6: `server`: other.key: the key does not belong",
        ),
        server(
            r#"host="a..b" cafile="good.pem""#,
            "services.xml:6: `server`: `a..b` is neither a DNS name nor an IP address",
        ),
        one(
            r#"<property name="userid_check" value="true"/>"#,
            "services.xml:11: `userid_check` needs an authenticator",
        ),
        one(
            r#"<property name="userid_check" value="true"/><property name="auth" value="jwt"/>"#,
            "services.xml:11: `auth` is jwt, but there is no key",
        ),
        one(
            r#"<property name="userid_check" value="true"/><property name="auth" value="jwt"/><property name="auth_jwt_secret" value="short"/>"#,
            "services.xml:11: a secret for HS256 needs at least 32 bytes; this one has 5; make one by `openssl rand -hex 32`",
        ),
        one(
            r#"<property name="userid_check" value="true"/><property name="auth" value="jwt"/><property name="auth_jwt_algorithm" value="RS256"/><property name="auth_jwt_key" value="gone.pem"/>"#,
            "gone.pem: can't read the key: ",
        ),
        one(
            r#"<property name="userid_check" value="true"/><property name="auth" value="jwt"/><property name="auth_jwt_algorithm" value="RS256"/><property name="auth_jwt_key" value="good.key"/>"#,
            "this is a private key",
        ),
        one(
            r#"<property name="userid_check" value="true"/><property name="auth" value="interface"/>"#,
            "`auth_endpoint` is not set",
        ),
        one(
            r#"<property name="keepalive_time" value="0.5"/>"#,
            "`keepalive_time` can't be `0.5`; write seconds from 1 to 32767, or 0 to switch it off",
        ),
        one(
            r#"<property name="keepalive_time" value="32768"/>"#,
            "`keepalive_time` can't be `32768`",
        ),
        one(
            r#"<property name="max_connections" value="18446744073709551615"/>"#,
            "`max_connections` can't be `18446744073709551615`",
        ),
        one(
            r#"<property name="user_events" value="events/test.Missing"/>"#,
            "`user_events` names interface `test.Missing`, which is not defined",
        ),
        both(GOOD, &["one", "one"], "server `one` is named twice"),
        both(
            GOOD,
            &["one", "two", "--set", "admin=127.0.0.1:39158"],
            "--set admin: `one` (`admin`) and `two` (`admin`) both listen on 127.0.0.1:39158; change the port of one, or run each server in a process of its own",
        ),
        both(
            Services {
                two_port: 39157,
                ..GOOD
            },
            &["one", "two"],
            "services.xml:5: `one` (`clients`) and `two` (`others`) both listen on 0.0.0.0:39157",
        ),
        both(
            Services {
                two: r#"<property name="admin" value="39157"/>"#,
                ..GOOD
            },
            &["one", "two"],
            "services.xml:15: `one` (`clients`) and `two` (`admin`) both listen on 127.0.0.1:39157",
        ),
    ]
}

#[test]
fn what_the_start_refuses_is_found_by_the_check() {
    let files = Files::new();
    for Mistake {
        services,
        arguments,
        reported,
    } in mistakes()
    {
        let text = services.text();
        for check in [&["--check"][..], &[]] {
            let output = files.gateway(&text, &[arguments, check].concat());
            let errors = self::reported(output.stderr);
            assert_eq!(output.status.code(), Some(1), "{reported}: {errors}");
            assert!(errors.contains(reported), "{reported}: {errors}");
            assert_eq!(errors.lines().count(), 1, "{reported}: {errors}");
        }
    }
}

#[test]
fn a_file_without_mistakes_passes_the_check() {
    let files = Files::new();
    let text = GOOD.text();
    for arguments in [
        &["one", "--check"][..],
        &["one", "--check", "--set", "keepalive_time=1"],
        &["one", "--check", "--set", "keepalive_time=32767"],
        &["one", "--check", "--set", "keepalive_time=0"],
    ] {
        let output = files.gateway(&text, arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), errors.as_str()), (Some(0), ""));
    }
}

#[test]
fn an_admin_token_that_can_be_guessed_is_warned_of() {
    let files = Files::new();
    for (token, is_short) in [("guessable", true), ("0123456789abcdef", false)] {
        let set = format!("admin_token={token}");
        let output = files.gateway(&GOOD.text(), &["one", "--check", "--set", &set]);
        assert_eq!(output.status.code(), Some(0));
        let errors = reported(output.stderr);
        assert_eq!(
            errors.contains("`admin_token` can be guessed"),
            is_short,
            "{errors}"
        );
        assert!(!errors.contains(token), "{errors}");
    }
}

/// A warning about another server, or an endpoint that only the other one uses,
/// is not shown.
#[test]
fn only_what_runs_is_warned_of() {
    let files = Files::new();
    let text = Services {
        two: r#"<property name="log" value="debug"/><property name="unknown" value="1"/>"#,
        ..GOOD
    }
    .text();
    let warnings = |arguments: &[&str]| {
        let output = files.gateway(&text, &[arguments, &["--check"]].concat());
        assert_eq!(output.status.code(), Some(0));
        reported(output.stderr)
    };
    assert_eq!(warnings(&["one"]), "");
    let of_two = "services.xml:5: `path` is ignored at a plain socket\n\
                  services.xml:15: unknown property `unknown`\n";
    assert_eq!(warnings(&["two"]), of_two);
    assert_eq!(warnings(&[]), of_two);
    let both = warnings(&["one", "two"]);
    assert!(both.contains("`log` of `two` has no effect"), "{both}");
    let websocket = ["one", "--set", "origins=https://a.example"];
    let warned = warnings(&websocket);
    assert_eq!(
        warned,
        "--set origins: `origins` has no effect: `listen` names no WebSocket\n"
    );
}

/// The gateway could start, but its peers would refuse it.
#[test]
fn certificates_out_of_their_dates_are_warned_of() {
    let files = Files::new();
    let warnings = |services: Services| {
        let output = files.gateway(&services.text(), &["one", "--check"]);
        assert_eq!(output.status.code(), Some(0));
        reported(output.stderr)
    };
    let expired = warnings(Services {
        client_tls: r#"certfile="expired.pem" keyfile="expired.key""#,
        ..GOOD
    });
    let message = "services.xml:4: `clients`: expired.pem: the certificate expired ";
    assert!(expired.starts_with(message), "{expired}");
    assert!(expired.contains("days ago"), "{expired}");
    assert!(expired.contains("renew it"), "{expired}");
    assert_eq!(expired.lines().count(), 1, "{expired}");
    let future = warnings(Services {
        server: r#"host="localhost" cafile="good.pem" certfile="future.pem" keyfile="future.key""#,
        ..GOOD
    });
    let message = "services.xml:6: `server`: future.pem: the certificate becomes valid in ";
    assert!(future.starts_with(message), "{future}");
    assert!(future.contains("clock"), "{future}");
}

/// Two gateways whose RETURNs come by queues.
fn with_return_queues(first: &str, second: &str) -> String {
    let server = |name: &str, returns: &str| {
        format!(
            r#"<server name="{name}">
      <route if="test.Server"><call in="{name}_clients" out="calls"/>
      <return in="{returns}" out="{name}_clients"/></route>
      <properties><property name="listen" value="{name}_clients"/><property name="loopback" value="calls#{returns}"/></properties>
    </server>"#
        )
    };
    format!(
        r#"<SNS>
  <InterfaceDef><if id="2" name="test.Server"/></InterfaceDef>
  <EndPoints>
    <ep name="one_clients" type="socket" host="localhost" port="39157"/>
    <ep name="two_clients" type="socket" host="localhost" port="39158"/>
    <ep name="calls" type="qpid" host="localhost" port="5672" address="calls;{{create:always}}"/>
    <ep name="first" type="qpid" host="localhost" port="5672" address="first;{{create:always}}"/>
    <ep name="second" type="qpid" host="localhost" port="5672" address="second;{{create:always}}"/>
    <ep name="alias" type="qpid" host="localhost" port="5672" address="first;{{create:always}}"/>
  </EndPoints>
  <servers>
    {}
    {}
  </servers>
</SNS>
"#,
        server("one", first),
        server("two", second)
    )
}

#[test]
fn a_queue_whose_returns_two_servers_read_is_found() {
    let files = Files::new();
    for second in ["first", "alias"] {
        let text = with_return_queues("first", second);
        let output = files.gateway(&text, &["one", "two", "--check"]);
        let errors = reported(output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        let both = "`one` and `two` both read RETURNs from ";
        assert!(errors.contains(both), "{errors}");
        // Each in a process of its own: one of them starts.
        let output = files.gateway(&text, &["--check"]);
        let warnings = reported(output.stderr);
        assert_eq!(output.status.code(), Some(0), "{warnings}");
        assert!(warnings.contains(both), "{warnings}");
        assert!(
            warnings.contains("give each a queue of its own"),
            "{warnings}"
        );
        assert_eq!(warnings.lines().count(), 1, "{warnings}");
    }
    let text = with_return_queues("first", "second");
    for arguments in [&["--check"][..], &["one", "two", "--check"]] {
        let output = files.gateway(&text, arguments);
        assert_eq!(reported(output.stderr), "");
    }
}
