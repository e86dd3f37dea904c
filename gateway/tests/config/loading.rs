//! The configuration that a file results in.

use std::{fs, time::Duration};

use tce_gateway::config::{
    Auth, Broker, EndpointId, EndpointKind, HostPort, Properties, SecondLogin, ServerConfig,
    Services, ValueOrigin,
};
use tce_runtime::config::NodeType;

use crate::{folder, parse, with_properties};

fn names(services: &Services, ids: &[EndpointId]) -> Vec<String> {
    ids.iter()
        .map(|id| services.endpoint(*id).name.clone())
        .collect()
}

fn only_server(text: &str) -> (Services, ServerConfig) {
    let services = parse(text)
        .unwrap_or_else(|error| panic!("{error}"))
        .services;
    let server = services.servers[0].clone();
    (services, server)
}

#[test]
fn a_file_written_for_tce_is_loaded_as_it_is() {
    let loaded = Services::load(folder().join("ok/cluster.xml"), &[]).unwrap();
    assert_eq!(loaded.warnings, []);
    let services = loaded.services;
    let server = services.server("gwserver").unwrap();
    assert_eq!(names(&services, &server.listen), ["socket_gateway"]);
    assert_eq!(
        names(&services, &server.reads),
        ["mq_gateway", "mq_gateway_broadcast"]
    );
    assert_eq!(
        names(&services, &server.writes),
        ["mq_server", "mq_user_event_listener"]
    );
    assert_eq!(server.upstreams, []);
    let [(call, back)] = server.loopback[..] else {
        panic!("{:?}", server.loopback);
    };
    assert_eq!(names(&services, &[call, back]), ["mq_server", "mq_gateway"]);
    assert_eq!(server.properties, Properties::default());
    assert!(matches!(server.origins[0], ValueOrigin::File(_)));

    let EndpointKind::Mq(queue) = &services.endpoint(call).kind else {
        panic!("it is a queue");
    };
    assert_eq!((queue.host.as_str(), queue.port), ("centos66", 5672));
    assert_eq!(queue.address.node, NodeType::Queue);
    assert!(queue.address.durable && queue.address.create);
    assert_eq!(
        services
            .interface(2)
            .map(|interface| interface.name.as_str()),
        Some("test.Server")
    );
    assert_eq!(services.interface(4), None);
}

#[test]
fn a_server_that_is_not_there_is_asked_for_by_name() {
    let services = Services::load(folder().join("ok/cluster.xml"), &[])
        .unwrap()
        .services;
    assert_eq!(
        services.server("gwserver_w").unwrap_err().to_string(),
        "there is no server `gwserver_w`; the file has `gwserver`, `gwserver_ws`; \
         did you mean `gwserver_ws`?"
    );
}

#[test]
fn properties_have_their_types() {
    let text = with_properties(
        r#"<property name="userid_check" value="TRUE"/>
        <property name="auth" value="interface"/>
        <property name="auth_endpoint" value="auth"/>
        <property name="second_login" value="refuse"/>
        <property name="user_events" value="mq_server"/>
        <property name="max_connections" value="7"/>
        <property name="max_connections_per_address" value="0"/>
        <property name="max_frames_per_second" value="100"/>
        <property name="first_message_time" value="0"/>
        <property name="call_time" value="0.5"/>
        <property name="idle_time" value="600"/>
        <property name="admin" value="[::1]:9100"/>
        <property name="mq" value="memory"/>"#,
    );
    let (services, server) = only_server(&text);
    let properties = &server.properties;
    assert!(properties.userid_check);
    assert_eq!(properties.auth, Auth::Interface);
    assert_eq!(properties.second_login, SecondLogin::Refuse);
    assert_eq!(properties.max_connections, 7);
    assert_eq!(properties.max_connections_per_address, None);
    assert_eq!(properties.max_frames_per_second, Some(100));
    assert_eq!(properties.first_message_time, None);
    assert_eq!(properties.call_time, Duration::from_millis(500));
    assert_eq!(properties.idle_time, Some(Duration::from_secs(600)));
    assert_eq!(properties.mq, Broker::Memory);
    let host = "::1".to_owned();
    assert_eq!(properties.admin, Some(HostPort { host, port: 9100 }));
    // The endpoints that they name are opened.
    assert_eq!(names(&services, &server.upstreams), ["auth"]);
    assert_eq!(names(&services, &server.writes), ["mq_server"]);
}

#[test]
fn sockets_have_hosts_certificates_and_paths() {
    let text = r#"<SNS>
  <EndPoints>
    <ep name="a" type="Socket" host="" port="1" compress="1"/>
    <ep name="b" type="websocket" host="::1" port="2" path="/chat" certfile="c.pem" keyfile="k.pem"/>
    <ep name="c" type="SOCKET" host="x, y:7,[::2]:8" port="3" tls="1"/>
  </EndPoints>
  <servers>
    <server name="gwserver">
      <properties><property name="listen" value=" a , b "/></properties>
    </server>
  </servers>
</SNS>"#;
    let (services, server) = only_server(text);
    assert_eq!(names(&services, &server.listen), ["a", "b"]);
    let shown: Vec<_> = services
        .endpoints
        .iter()
        .map(|endpoint| endpoint.kind.to_string())
        .collect();
    assert_eq!(
        shown,
        [
            "socket 0.0.0.0:1",
            "websocket [::1]:2/chat, TLS",
            "socket x:3,y:7,[::2]:8, TLS"
        ]
    );
    assert!(matches!(
        services.endpoints[0].kind,
        EndpointKind::Socket { compress: true, .. }
    ));
    let EndpointKind::WebSocket { tls: Some(tls), .. } = &services.endpoints[1].kind else {
        panic!("it has certificates");
    };
    assert_eq!(tls.certificate.as_deref(), Some("c.pem".as_ref()));
    assert_eq!(tls.key.as_deref(), Some("k.pem".as_ref()));
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("services.xml");
    let told = Services::load(&path, &[]).unwrap_err().to_string();
    assert!(
        told.contains("services.xml: the file can't be read: "),
        "{told}"
    );
    fs::write(&path, b"<SNS>\n\xd6\xd0</SNS>").unwrap();
    let told = Services::load(&path, &[]).unwrap_err().to_string();
    assert!(
        told.ends_with("services.xml:2: this is not UTF-8; save the file as UTF-8"),
        "{told}"
    );
}

#[test]
fn secrets_are_not_shown() {
    let text = with_properties(
        r#"<property name="userid_check" value="1"/>
        <property name="auth" value="jwt"/>
        <property name="auth_jwt_secret" value="hunter2hunter2hunter2hunter2hunter2"/>"#,
    );
    let (services, server) = only_server(&text);
    let shown = tce_gateway::config::print_config(&services, &server);
    assert!(
        shown.contains("auth_jwt_secret              (not shown)"),
        "{shown}"
    );
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(!format!("{server:?}").contains("hunter2"));
}
