//! The faults of a run, one at a time.

use std::{fmt, thread::sleep, time::Duration};

use anyhow::Result;
use rustix::process::Signal;
use tce_test_faults::{Direction, FaultProxy};
use tce_test_rabbitmq::Node;

use crate::child::ChildProcess;

/// What faults happen to.
pub(crate) struct Scene {
    /// A proxy before each listener, with the name of the listener.
    pub(crate) proxies: Vec<(&'static str, FaultProxy)>,
    pub(crate) servers: Vec<ChildProcess>,
    pub(crate) gateway: ChildProcess,
    pub(crate) broker: Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Cut,
    CutAfter,
    Freeze,
    Delay,
    SingleBytes,
    Refuse,
    KillServer,
    StopServer,
    ReloadGateway,
    EndGateway,
    KillGateway,
    AlarmBroker,
    CloseBrokerConnections,
    SilenceBroker,
    KillBroker,
}

/// Faults of connections and of processes whose memory is not judged.
const PASSING: [Fault; 13] = [
    Fault::Cut,
    Fault::CutAfter,
    Fault::Freeze,
    Fault::Delay,
    Fault::SingleBytes,
    Fault::Refuse,
    Fault::KillServer,
    Fault::StopServer,
    Fault::ReloadGateway,
    Fault::AlarmBroker,
    Fault::CloseBrokerConnections,
    Fault::SilenceBroker,
    Fault::KillBroker,
];
/// Faults after which the gateway's memory starts anew.
const OF_GATEWAY: [Fault; 2] = [Fault::EndGateway, Fault::KillGateway];

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => "reset the connections of",
            Self::CutAfter => "reset within a message the connections of",
            Self::Freeze => "pass nothing for some seconds to and from",
            Self::Delay => "delay all bytes to and from",
            Self::SingleBytes => "pass one byte at a time to and from",
            Self::Refuse => "refuse connections of",
            Self::KillServer => "SIGKILL of a server",
            Self::StopServer => "SIGSTOP of a server for some seconds",
            Self::ReloadGateway => "SIGHUP of the gateway",
            Self::EndGateway => "SIGTERM of the gateway",
            Self::KillGateway => "SIGKILL of the gateway",
            Self::AlarmBroker => "memory alarm of the broker",
            Self::CloseBrokerConnections => "the broker closes all connections",
            Self::SilenceBroker => "pass nothing to and from the broker for some seconds",
            Self::KillBroker => "SIGKILL of the broker",
        })
    }
}

impl Fault {
    /// A random fault.
    pub(crate) fn random(may_restart_gateway: bool) -> Self {
        let count = PASSING.len()
            + if may_restart_gateway {
                OF_GATEWAY.len()
            } else {
                0
            };
        let index = fastrand::usize(..count);
        let fault = PASSING.iter().chain(&OF_GATEWAY).nth(index);
        fault.copied().unwrap_or(Self::Cut)
    }

    /// Makes the fault happen, and ends it. Takes at most half a minute.
    pub(crate) fn happen(self, scene: &mut Scene) -> Result<String> {
        let seconds = Duration::from_secs_f32(1.0 + 5.0 * fastrand::f32());
        let proxy = fastrand::usize(..scene.proxies.len());
        let server = fastrand::usize(..scene.servers.len());
        let (name, proxy) = &scene.proxies[proxy];
        let mut description = self.to_string();
        match self {
            Self::Cut => proxy.cut(),
            Self::CutAfter => proxy.cut_after(Direction::ToServer, fastrand::u64(1..100_000)),
            Self::Freeze => freeze([proxy], seconds),
            Self::Delay => {
                proxy.set_delay(Duration::from_millis(100));
                sleep(seconds);
                proxy.set_delay(Duration::ZERO);
            }
            Self::SingleBytes => {
                proxy.set_piece(Some(1));
                sleep(seconds);
                proxy.set_piece(None);
            }
            Self::Refuse => {
                proxy.set_refusing(true);
                proxy.cut();
                sleep(seconds);
                proxy.set_refusing(false);
            }
            Self::KillServer => scene.servers[server].restart(Signal::KILL)?,
            Self::StopServer => {
                scene.servers[server].signal(Signal::STOP)?;
                sleep(seconds);
                scene.servers[server].signal(Signal::CONT)?;
            }
            Self::ReloadGateway => scene.gateway.signal(Signal::HUP)?,
            Self::EndGateway => scene.gateway.restart(Signal::TERM)?,
            Self::KillGateway => scene.gateway.restart(Signal::KILL)?,
            Self::AlarmBroker => {
                let watermark = "set_vm_memory_high_watermark";
                scene.broker.control(&[watermark, "absolute", "1"]);
                sleep(seconds);
                scene.broker.control(&[watermark, "0.4"]);
            }
            Self::CloseBrokerConnections => {
                scene.broker.control(&["close_all_connections", "soak"]);
            }
            Self::SilenceBroker => {
                let of_broker = scene
                    .proxies
                    .iter()
                    .filter(|(name, _)| name.contains("broker"));
                freeze(of_broker.map(|(_, proxy)| proxy), seconds * 4);
            }
            Self::KillBroker => {
                scene.broker.kill();
                scene.broker.restart();
            }
        }
        if matches!(
            self,
            Self::Cut
                | Self::CutAfter
                | Self::Freeze
                | Self::Delay
                | Self::SingleBytes
                | Self::Refuse
        ) {
            description.push(' ');
            description.push_str(name);
        }
        Ok(description)
    }
}

fn freeze<'a>(proxies: impl IntoIterator<Item = &'a FaultProxy>, time: Duration) {
    let proxies: Vec<_> = proxies.into_iter().collect();
    for proxy in &proxies {
        proxy.freeze(Direction::ToServer);
        proxy.freeze(Direction::ToClient);
    }
    sleep(time);
    for proxy in proxies {
        proxy.thaw();
    }
}
