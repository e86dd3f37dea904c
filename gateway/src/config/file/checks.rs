//! `loopback`: by which queue the RETURN of a CALL comes back.

use std::collections::{BTreeMap, BTreeSet};

use tce_runtime::config::problem::quoted;

use super::{
    definitions::{Endpoints, Named},
    endpoint::Family,
    routes::{Direction, Row},
    uses::Uses,
    xml::{Attribute, Sink},
};
use crate::config::{EndpointId, EndpointKind};

/// For calls sent to the first endpoint, the second gets their RETURN.
#[derive(Debug, Default)]
pub(super) struct Loopback {
    pub(super) pairs: BTreeMap<EndpointId, EndpointId>,
    /// Whether something in it is wrong, so that what is missing may be that.
    broken: bool,
}

impl Loopback {
    pub(super) fn read(
        text: Option<Attribute<'_>>,
        endpoints: &Endpoints,
        uses: &Uses<'_>,
        sink: &mut Sink<'_, '_>,
    ) -> Self {
        let mut loopback = Self::default();
        for pair in text.into_iter().flat_map(Attribute::list) {
            match read_pair(pair, endpoints, sink) {
                Some((call, back)) => loopback.add(&call, &back, endpoints, uses, sink),
                None => loopback.broken = true,
            }
        }
        loopback
    }

    fn add(
        &mut self,
        call: &Named<'_>,
        back: &Named<'_>,
        endpoints: &Endpoints,
        uses: &Uses<'_>,
        sink: &mut Sink<'_, '_>,
    ) {
        if let Some((at, message)) = self.mistake(call, back, endpoints, uses) {
            sink.error(at, message);
            self.broken = true;
        } else if !uses.writes.contains(&call.id) {
            let name = quoted(call.name);
            sink.warn(
                call.at,
                format!("this pair does nothing: no CALL goes to {name}"),
            );
        }
        self.pairs.insert(call.id, back.id);
    }

    fn mistake(
        &self,
        call: &Named<'_>,
        back: &Named<'_>,
        endpoints: &Endpoints,
        uses: &Uses<'_>,
    ) -> Option<(usize, String)> {
        for end in [call, back] {
            if endpoints
                .family(end.id)
                .is_some_and(|family| family != Family::Mq)
            {
                let name = quoted(end.name);
                let message = format!("{name} is no queue; `loopback` pairs those at a broker");
                return Some((end.at, message));
            }
        }
        let (call_name, back_name) = (quoted(call.name), quoted(back.name));
        if call.id == back.id {
            let message = format!(
                "CALLs to {call_name} would come back as their own RETURN; name another queue"
            );
            return Some((back.at, message));
        }
        if self.pairs.contains_key(&call.id) {
            let message = format!("{call_name} is the first of two pairs; leave one");
            return Some((call.at, message));
        }
        let is_queue = endpoints.family(back.id).is_some();
        let unread = is_queue && !uses.broken && !uses.reads.contains(&back.id);
        unread.then(|| {
            let message = format!(
                "RETURNs would wait in {back_name} for ever: nothing reads it; add it to \
                 `listen`, or write a `return` row from it"
            );
            (back.at, message)
        })
    }

    /// Warns of CALLs whose RETURN can't come back.
    pub(super) fn check(&self, rows: &[Row<'_>], endpoints: &Endpoints, sink: &mut Sink<'_, '_>) {
        let returned: BTreeSet<_> = rows
            .iter()
            .filter(|row| row.direction == Direction::Return)
            .map(|row| (row.ifidx, row.from.id))
            .collect();
        for row in rows.iter().filter(|row| row.direction == Direction::Call) {
            if !matches!(endpoints.kind(row.to.id), Some(EndpointKind::Mq(_))) {
                continue;
            }
            let to = quoted(row.to.name);
            match self.pairs.get(&row.to.id) {
                None if self.broken => {}
                None => sink.warn(
                    row.to.at,
                    format!(
                        "twoway CALLs to {to} get no RETURN: `loopback` names no queue for it; \
                         add {}#<the queue that this gateway reads> to it",
                        row.to.name
                    ),
                ),
                Some(back) if returned.contains(&(row.ifidx, *back)) => {}
                Some(back) => {
                    let back = endpoints.name(*back);
                    let (interface, from) = (quoted(row.interface), row.from.name);
                    sink.warn(
                        row.at,
                        format!(
                            "RETURNs of {interface} come by {}, from where no row routes them; \
                             write <return in=\"{back}\" out=\"{from}\"/>",
                            quoted(back)
                        ),
                    );
                }
            }
        }
    }
}

fn read_pair<'a>(
    pair: Attribute<'a>,
    endpoints: &Endpoints,
    sink: &mut Sink<'_, '_>,
) -> Option<(Named<'a>, Named<'a>)> {
    let mut ends = pair.split('#').filter(|end| !end.text.is_empty());
    let (Some(call), Some(back), None) = (ends.next(), ends.next(), ends.next()) else {
        let text = quoted(pair.text);
        sink.error(
            pair.at,
            format!("{text} is no pair of queues; write it like mq_server#mq_gateway"),
        );
        return None;
    };
    let (call, back) = (endpoints.named(call, sink), endpoints.named(back, sink));
    Some((call?, back?))
}
