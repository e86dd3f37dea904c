//! Overrides from the environment and flags.

use tce_gateway::config::{
    Override, OverrideSource, PROPERTIES, RatePeriod, ServerConfig, Threads, ValueOrigin,
};

use crate::{parse_with, with_properties};

fn flag(text: &str) -> Override {
    Override::from_flag(text).unwrap()
}

fn variable(name: &str, value: &str) -> Vec<Override> {
    Override::from_environment([(name.into(), value.into())])
}

fn origin(server: &ServerConfig, name: &str) -> ValueOrigin {
    let row = PROPERTIES.iter().position(|row| row.name == name);
    server.origins[row.unwrap()]
}

#[test]
fn the_last_who_says_it_is_right() {
    let text = with_properties(r#"<property name="max_connections" value="1"/>"#);
    let mut overrides = variable("TCE_GATEWAY_MAX_CONNECTIONS", "2");
    let loaded = parse_with(&text, &overrides).unwrap();
    let server = &loaded.services.servers[0];
    assert_eq!(server.properties.max_connections, 2);
    assert_eq!(
        origin(server, "max_connections"),
        ValueOrigin::Override(OverrideSource::Environment)
    );

    overrides.push(flag("max_connections=3"));
    let loaded = parse_with(&text, &overrides).unwrap();
    let server = &loaded.services.servers[0];
    assert_eq!(server.properties.max_connections, 3);
    assert_eq!(
        origin(server, "max_connections"),
        ValueOrigin::Override(OverrideSource::Flag)
    );

    overrides.push(flag("max_connections="));
    let loaded = parse_with(&text, &overrides).unwrap();
    let server = &loaded.services.servers[0];
    assert_eq!(server.properties.max_connections, 16_384);
    assert_eq!(origin(server, "max_connections"), ValueOrigin::Default);
}

#[test]
fn every_property_has_its_variable() {
    for property in PROPERTIES {
        let read = variable(&property.environment_name(), "x");
        assert_eq!(read[0].name, property.name);
    }
}

#[test]
fn a_wrong_value_names_who_said_it() {
    let mut overrides = variable("TCE_GATEWAY_CALL_TIME", "soon");
    overrides.push(flag("second_login=maybe"));
    overrides.push(flag("max_conections=5"));
    overrides.push(flag("user_events=mq_sever"));
    overrides.push(flag("listen=mq_server"));
    let told = parse_with(&with_properties(""), &overrides).unwrap_err();
    assert_eq!(
        told.to_string(),
        "--set listen: `listen` can only be set in the file\n\
         --set max_conections: unknown property `max_conections`; did you mean `max_connections`?\n\
         --set second_login: `second_login` can't be `maybe`; write replace, refuse or several\n\
         --set user_events: `user_events` is not valid: endpoint `mq_sever` is not defined; \
         did you mean `mq_server`?\n\
         TCE_GATEWAY_CALL_TIME: `call_time` can't be `soon`; write seconds above 0, for example 5 or 0.5"
    );
}

/// Kubernetes sets such variables for every service of its namespace.
#[test]
fn a_strangers_variable_stops_nobody() {
    let mut overrides = variable("TCE_GATEWAY_SERVICE_HOST", "10.0.0.1");
    overrides.extend(variable("TCE_GATEWAY_MAX_CONECTIONS", "5"));
    overrides.extend(variable("HOME", "/"));
    let loaded = parse_with(&with_properties(""), &overrides).unwrap();
    let told: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "TCE_GATEWAY_MAX_CONECTIONS: unknown property `max_conections`; \
             did you mean `max_connections`?",
            "TCE_GATEWAY_SERVICE_HOST: unknown property `service_host`",
        ]
    );
}

#[test]
fn a_secret_of_the_environment_completes_the_file() {
    let text = with_properties(
        r#"<property name="userid_check" value="true"/><property name="auth" value="jwt"/>"#,
    );
    assert!(parse_with(&text, &[]).is_err());
    let overrides = variable("TCE_GATEWAY_AUTH_JWT_SECRET", &"s".repeat(32));
    parse_with(&text, &overrides).unwrap();
}

#[test]
fn properties_that_do_not_go_together_are_told_where_they_are_said() {
    let overrides = [
        flag("auth=jwt"),
        flag("userid_check=true"),
        flag("auth_jwt_key=a.pem"),
    ];
    let told = parse_with(&with_properties(""), &overrides).unwrap_err();
    assert_eq!(
        told.to_string(),
        "--set auth_jwt_key: `auth_jwt_key` can't be used with `auth_jwt_algorithm` HS256, the \
         default; set that to RS256, ES256 or EdDSA, as the key requires"
    );
}

#[test]
fn a_flag_without_a_value_says_how_it_is_written() {
    assert_eq!(
        Override::from_flag("watch").unwrap_err(),
        "`watch` has no `=`; write NAME=VALUE, for example max_connections=1000"
    );
}

#[test]
fn threads_are_a_number_or_one_for_each_core() {
    for (value, expected) in [
        ("", Threads::Count(1)),
        ("4", Threads::Count(4)),
        ("256", Threads::Count(256)),
        ("auto", Threads::Auto),
        ("AUTO", Threads::Auto),
    ] {
        let loaded = parse_with(
            &with_properties(""),
            &variable("TCE_GATEWAY_THREADS", value),
        );
        let server = &loaded.unwrap().services.servers[0];
        assert_eq!(server.properties.threads, expected);
    }
    for value in ["0", "257", "-1", "2.5", "all"] {
        let overrides = [flag(&format!("threads={value}"))];
        let error = parse_with(&with_properties(""), &overrides).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "--set threads: `threads` can't be `{value}`; write a whole number from 1 to 256, \
                 or auto for one for each core"
            )
        );
    }
}

#[test]
fn a_rate_has_an_interface_a_period_and_a_burst() {
    let rate = |text: &str| {
        let text = with_properties(&format!(r#"<property name="rate" value="{text}"/>"#));
        parse_with(&text, &[]).map(|loaded| loaded.services.servers[0].properties.rate.0.clone())
    };
    for (text, calls, period, burst) in [
        (
            " test.Server: 100/s, burst 200; ",
            100,
            RatePeriod::Second,
            200,
        ),
        ("test.Server:30 / min", 30, RatePeriod::Minute, 30),
    ] {
        let rates = rate(text).unwrap();
        let shown = (rates[0].calls.get(), rates[0].period, rates[0].burst.get());
        assert_eq!(shown, (calls, period, burst));
        assert_eq!(
            (rates.len(), rates[0].interface.as_str()),
            (1, "test.Server")
        );
    }
    for wrong in [
        "test.Server",
        "test.Server: 0/s",
        "test.Server: -1/s",
        "test.Server: 10",
        "test.Server: 10/h",
        "test.Server: 10/s, 20",
        "test.Server: 10/s, burst 0",
        ": 10/s",
        "test.Server: 99999999999/s",
    ] {
        let told = rate(wrong).unwrap_err().to_string();
        assert!(told.contains("write rates of interfaces"), "{told}");
    }
    let told = rate("test.Server: 1/s; test.Server: 2/s").unwrap_err();
    assert!(
        told.to_string().contains("names `test.Server` twice"),
        "{told}"
    );
}
