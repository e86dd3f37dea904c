//! The routing table, compared with the rows of the file.

use std::fmt::Write as _;

use proptest::{collection::vec, prelude::*};
use tce_gateway::{
    config::Services,
    routing::{EndpointKeys, Route, RoutingTable},
};

use crate::parse;

/// The interfaces, and rows: interface, whether it is a call, and `in`. `out` is
/// the endpoint of the other kind.
#[derive(Debug, Clone)]
struct Plan {
    ifidxs: Vec<u16>,
    rows: Vec<(usize, bool, usize)>,
}

/// The number of clients' endpoints, and of queues.
const EACH: usize = 4;

fn plans() -> impl Strategy<Value = Plan> {
    let ifidx = prop_oneof![0_u16..20, 0_u16..65_535];
    let rows = vec(
        (any::<prop::sample::Index>(), any::<bool>(), 0..2 * EACH),
        0..40,
    );
    (vec(ifidx, 1..12), rows).prop_map(|(mut ifidxs, rows)| {
        ifidxs.sort_unstable();
        ifidxs.dedup();
        let rows = rows
            .into_iter()
            .map(|(place, is_call, from)| (place.index(ifidxs.len()), is_call, from))
            .collect();
        Plan { ifidxs, rows }
    })
}

fn name(endpoint: usize) -> String {
    if endpoint < EACH {
        format!("clients{endpoint}")
    } else {
        format!("queue{}", endpoint - EACH)
    }
}

/// The first row for an `in` counts. Repeated rows and RETURNs from clients would
/// be mistakes or have no effect, and are left out.
fn routes(plan: &Plan) -> Vec<(u16, bool, usize, usize)> {
    let mut routes: Vec<(u16, bool, usize, usize)> = Vec::new();
    for (place, is_call, from) in &plan.rows {
        let (ifidx, to) = (plan.ifidxs[*place], (from + EACH) % (2 * EACH));
        let known = |route: &(u16, bool, usize, usize)| {
            (route.0, route.1, route.2) == (ifidx, *is_call, *from)
        };
        if !routes.iter().any(known) && (*is_call || *from >= EACH) {
            routes.push((ifidx, *is_call, *from, to));
        }
    }
    routes
}

fn file(plan: &Plan) -> String {
    let mut text = "<SNS><InterfaceDef>".to_owned();
    for ifidx in &plan.ifidxs {
        write!(text, "<if id=\"{ifidx}\" name=\"i{ifidx}\"/>").unwrap();
    }
    text += "</InterfaceDef><EndPoints>";
    for endpoint in 0..EACH {
        write!(
            text,
            "<ep name=\"clients{endpoint}\" type=\"socket\" port=\"{}\"/>",
            endpoint + 1
        )
        .unwrap();
        write!(
            text,
            "<ep name=\"queue{endpoint}\" type=\"mq\" host=\"h\" port=\"5672\" address=\"q{endpoint}\"/>"
        )
        .unwrap();
    }
    text += "</EndPoints><servers><server name=\"gwserver\">";
    for (ifidx, is_call, from, to) in routes(plan) {
        let element = if is_call { "call" } else { "return" };
        let (from, to) = (name(from), name(to));
        write!(
            text,
            "<route if=\"i{ifidx}\"><{element} in=\"{from}\" out=\"{to}\"/></route>"
        )
        .unwrap();
    }
    let listen: Vec<_> = (0..EACH).map(name).collect();
    let listen = listen.join(",");
    text + &format!(
        "<properties><property name=\"listen\" value=\"{listen}\"/></properties></server></servers></SNS>"
    )
}

/// The name of the endpoint that the table routes a message to.
fn looked_up(services: &Services, ifidx: u16, is_call: bool, from: usize) -> Option<String> {
    let keys = EndpointKeys::default();
    let table = RoutingTable::new(services, &services.servers[0], &keys);
    let from = keys.key(&name(from));
    let to = if is_call {
        table.call(ifidx, from).map(Route::to)
    } else {
        table.returns(ifidx, from)
    };
    to.map(|to| keys.name(to).to_string())
}

proptest! {
    #[test]
    fn the_table_says_what_the_rows_say(plan in plans(), others in vec(any::<u16>(), 0..5)) {
        let services = parse(&file(&plan)).map_err(|error| {
            TestCaseError::fail(format!("{error}\n{}", file(&plan)))
        })?.services;
        let routes = routes(&plan);
        for ifidx in plan.ifidxs.iter().chain(&others) {
            for from in 0..2 * EACH {
                for is_call in [true, false] {
                    let route = routes.iter().find(|route| (route.0, route.1, route.2) == (*ifidx, is_call, from));
                    let wanted = route.map(|route| name(route.3));
                    prop_assert_eq!(looked_up(&services, *ifidx, is_call, from), wanted);
                }
            }
        }
    }
}

#[test]
fn an_interface_is_explained_by_name_or_index() {
    let text = crate::with_properties("");
    let services = parse(&text).unwrap().services;
    let server = &services.servers[0];
    let explain = |interface| tce_gateway::routing::explain(&services, server, interface);
    assert_eq!(explain("2"), explain("test.Server"));
    assert_eq!(
        explain("test.Sever").unwrap_err().to_string(),
        "there is no interface `test.Sever`; did you mean `test.Server`?"
    );
    assert_eq!(
        explain("7").unwrap_err().to_string(),
        "there is no interface `7`; define it in InterfaceDef"
    );
}
