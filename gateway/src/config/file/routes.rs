//! The `call` and `return` rows of `route` elements.

use std::collections::{BTreeMap, HashMap};

use tce_runtime::config::problem::quoted;

use super::{
    definitions::Named,
    names::Definitions,
    xml::{Element, Sink},
};
use crate::config::{Hop, Route};

/// What a row routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Direction {
    Call,
    Return,
}

/// A row whose names are all defined.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) direction: Direction,
    pub(super) ifidx: u16,
    /// The interface's name.
    pub(super) interface: &'a str,
    pub(super) from: Named<'a>,
    pub(super) to: Named<'a>,
    pub(super) at: usize,
}

/// The rows of these `route` elements, as far as they are right, and whether
/// all are; what is wrong is reported.
pub(super) fn read_rows<'a>(
    routes: &[Element<'a>],
    definitions: &Definitions<'_>,
    sink: &mut Sink<'_, '_>,
) -> (Vec<Row<'a>>, bool) {
    let mut rows = Vec::new();
    let mut all = true;
    let mut seen = HashMap::new();
    for route in routes {
        route.know_attributes(&["if"], sink);
        let interface = route.demand("if", "test.Server", sink);
        let ifidx = interface.and_then(|name| definitions.interfaces.find(name, sink));
        for element in route.children(&["call", "return"], sink) {
            // Its endpoints are looked at though the interface may be wrong.
            let ends = ends(element, definitions, sink);
            let (Some(interface), Some(ifidx), Some((from, to))) = (interface, ifidx, ends) else {
                all = false;
                continue;
            };
            let direction = if element.is("call") {
                Direction::Call
            } else {
                Direction::Return
            };
            let row = Row {
                direction,
                ifidx,
                interface: interface.text,
                from,
                to,
                at: element.at(),
            };
            let first: &mut Row<'_> = seen.entry((direction, ifidx, from.id)).or_insert(row);
            if first.at == row.at {
                rows.push(row);
            } else {
                tell_again(&row, first, sink);
            }
        }
    }
    (rows, all)
}

fn ends<'a>(
    element: Element<'a>,
    definitions: &Definitions<'_>,
    sink: &mut Sink<'_, '_>,
) -> Option<(Named<'a>, Named<'a>)> {
    element.know_attributes(&["in", "out"], sink);
    let mut end = |attribute, example| {
        let name = element.demand(attribute, example, sink)?;
        definitions.endpoints.named(name, sink)
    };
    let ends = if element.is("call") {
        (end("in", "socket_gateway"), end("out", "mq_server"))
    } else {
        (end("in", "mq_gateway"), end("out", "socket_gateway"))
    };
    Some((ends.0?, ends.1?))
}

fn tell_again(row: &Row<'_>, first: &Row<'_>, sink: &mut Sink<'_, '_>) {
    let what = match row.direction {
        Direction::Call => "CALLs",
        Direction::Return => "RETURNs",
    };
    let line = sink.line(first.at);
    let (interface, from) = (quoted(row.interface), quoted(row.from.name));
    let message = format!("{what} of {interface} from {from} are routed on line {line} already");
    if row.to.id == first.to.id {
        sink.warn(row.at, message);
    } else {
        let (to, other) = (quoted(row.to.name), quoted(first.to.name));
        sink.error(
            row.at,
            format!("{message}: to {other}, not to {to}; leave one"),
        );
    }
}

/// The routes that rows amount to, by rising index.
pub(super) fn collect_routes(rows: &[Row<'_>]) -> Vec<Route> {
    let mut routes: BTreeMap<u16, Route> = BTreeMap::new();
    for row in rows {
        let route = routes.entry(row.ifidx).or_insert_with(|| Route {
            ifidx: row.ifidx,
            calls: Vec::new(),
            returns: Vec::new(),
        });
        let hop = Hop {
            from: row.from.id,
            to: row.to.id,
        };
        match row.direction {
            Direction::Call => route.calls.push(hop),
            Direction::Return => route.returns.push(hop),
        }
    }
    routes.into_values().collect()
}
