//! What an agent hosts: its packages and what runs of them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tce_runtime::{ErrorCode, Fault};

use crate::{
    config::{AgentSettings, FrameConfig, Kind, PackageSettings, Purpose},
    cron::{Crontab, CrontabContext},
    deployment::{DeployError, Deployment},
    host::HostCommand,
    idl::frame::{self, AgentInfo, ManagementMulti, Manifest, Package},
    service::{Service, ServiceContext},
    signature,
};

/// Runs what reads and writes files in a thread for that.
pub(crate) async fn blocking<T: Send + 'static, E: std::fmt::Display + Send + 'static>(
    run: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(run).await {
        Ok(result) => {
            result.map_err(|error| Fault::new(ErrorCode::RemoteException, error.to_string()))
        }
        Err(error) => Err(Fault::internal(error)),
    }
}

/// What the commands of an agent work with.
pub(crate) struct HostedPackages {
    pub(crate) id: String,
    pub(crate) started_ms: i64,
    pub(crate) config_file: PathBuf,
    pub(crate) settings: AgentSettings,
    pub(crate) services: Arc<ServiceContext>,
    pub(crate) crontabs: CrontabContext,
    /// All agents of the namespace, this one among them.
    pub(crate) others: ManagementMulti,
    pub(crate) packages: Mutex<BTreeMap<(Kind, String), Arc<HostedPackage>>>,
    /// Packages that could not be read.
    pub(crate) rejected: Mutex<Vec<Package>>,
    /// One change at a time.
    pub(crate) changes: tokio::sync::Mutex<()>,
    pub(crate) counters: Counters,
}

/// Numbers for tests and monitoring.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    files_fetched: AtomicU64,
    updates: AtomicU64,
}

impl Counters {
    pub(crate) fn fetched(&self, files: usize) {
        let files = u64::try_from(files).unwrap_or(u64::MAX);
        self.files_fetched.fetch_add(files, Ordering::Relaxed);
        metrics::counter!("tce_frame_files_fetched_total").increment(files);
    }

    pub(crate) fn updated(&self) {
        self.updates.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("tce_frame_updates_total").increment(1);
    }
}

/// A package that was read.
pub(crate) struct HostedPackage {
    pub(crate) kind: Kind,
    name: String,
    pub(crate) deployment: Deployment,
    state: Mutex<HostedState>,
}

struct HostedState {
    settings: PackageSettings,
    manifest: Manifest,
    running: Running,
}

/// What runs of a package.
#[derive(Clone)]
enum Running {
    Service(Arc<Service>),
    Crontab(Arc<Crontab>),
    /// Why nothing does.
    Rejected(String),
}

impl HostedPackage {
    pub(crate) fn manifest(&self) -> Manifest {
        self.state.lock().manifest.clone()
    }

    pub(crate) fn set_manifest(&self, manifest: Manifest) {
        self.state.lock().manifest = manifest;
    }

    fn running(&self) -> Running {
        self.state.lock().running.clone()
    }

    fn describe(&self) -> Package {
        let state = self.state.lock();
        let args = match &state.settings.purpose {
            Purpose::Service(service) => service.args.clone(),
            Purpose::Crontab(_) => Vec::new(),
        };
        Package {
            kind: self.kind.to_string(),
            name: self.name.clone(),
            version: state.manifest.version.clone(),
            hash: state.manifest.hash.clone(),
            path: state.settings.folder.display().to_string(),
            state: match &state.running {
                Running::Service(service) => service.state(),
                Running::Crontab(_) => "running".to_owned(),
                Running::Rejected(reason) => format!("rejected: {reason}"),
            },
            args,
        }
    }
}

impl HostedPackages {
    pub(crate) async fn load(&self, config: &FrameConfig) {
        for entry in config.packages() {
            match entry.settings {
                Ok(settings) => self.host(settings).await,
                Err(rejection) => {
                    tracing::error!("{}", rejection.reason);
                    let (kind, name, version) = match rejection.identity {
                        Some((kind, name, version)) => (kind.to_string(), name, version),
                        None => Default::default(),
                    };
                    self.rejected.lock().push(Package {
                        kind,
                        name,
                        version,
                        path: entry.folder.display().to_string(),
                        state: format!("rejected: {}", rejection.reason),
                        ..Package::default()
                    });
                }
            }
        }
    }

    /// Hosts a package; what is wrong with it becomes its state.
    async fn host(&self, settings: PackageSettings) {
        let (kind, name) = (settings.kind(), settings.name.clone());
        let root = self.settings.install_root.clone();
        let opened = blocking({
            let (name, folder) = (name.clone(), settings.folder.clone());
            let version = settings.version.to_string();
            move || {
                let deployment = Deployment::open(&root, kind, &name, &folder)?;
                let manifest = deployment.manifest(&version)?;
                Ok::<_, DeployError>((deployment, manifest))
            }
        })
        .await;
        let (deployment, manifest) = match opened {
            Ok(opened) => opened,
            Err(fault) => {
                tracing::error!("{kind} {name}: {}", fault.text());
                self.rejected.lock().push(Package {
                    kind: kind.to_string(),
                    name,
                    version: settings.version.to_string(),
                    path: settings.folder.display().to_string(),
                    state: format!("rejected: {}", fault.text()),
                    ..Package::default()
                });
                return;
            }
        };
        let running = match self.run(&settings, &manifest, None).await {
            Ok(running) => running,
            Err(reason) => {
                tracing::error!("{kind} {name}: {reason}");
                Running::Rejected(reason)
            }
        };
        let state = Mutex::new(HostedState {
            settings,
            manifest,
            running,
        });
        let hosted = Arc::new(HostedPackage {
            kind,
            name: name.clone(),
            deployment,
            state,
        });
        self.packages.lock().insert((kind, name), hosted);
    }

    /// Starts what a package runs.
    async fn run(
        &self,
        settings: &PackageSettings,
        manifest: &Manifest,
        processes: Option<usize>,
    ) -> Result<Running, String> {
        signature::verify(manifest, &self.settings.trusted_keys)
            .map_err(|error| error.to_string())?;
        match &settings.purpose {
            Purpose::Service(_) => {
                let command = self.command(settings, processes)?;
                let started = Service::start(&self.services, command).await;
                Ok(Running::Service(
                    started.map_err(|problem| located(settings, problem))?,
                ))
            }
            Purpose::Crontab(crontab) => {
                let (folder, crontab) = (settings.folder.clone(), crontab.clone());
                let started = Crontab::start(&self.crontabs, &settings.name, folder, crontab);
                Ok(Running::Crontab(started))
            }
        }
    }

    fn command(
        &self,
        settings: &PackageSettings,
        processes: Option<usize>,
    ) -> Result<HostCommand, String> {
        let Purpose::Service(service) = &settings.purpose else {
            return Err(format!("`{}` is no service any more", settings.name));
        };
        Ok(HostCommand {
            name: settings.name.clone(),
            folder: settings.folder.clone(),
            settings: service.clone(),
            processes: processes
                .or(service.processes)
                .unwrap_or(self.settings.processes),
        })
    }

    /// Hosts a package that was installed.
    pub(crate) async fn add_package(&self, folder: &Path) -> Result<(), String> {
        let (settings, _) =
            PackageSettings::load(folder).map_err(|problems| problems.to_string())?;
        self.host(settings).await;
        Ok(())
    }

    /// Runs what is in the folders of all packages of a kind.
    ///
    /// # Errors
    /// What can't be loaded, one line a package: its old code goes on.
    pub(crate) async fn restart(&self, kind: Kind, processes: Option<usize>) -> Result<(), String> {
        let packages: Vec<_> = self.packages.lock().values().cloned().collect();
        let mut problems = Vec::new();
        for package in packages.iter().filter(|package| package.kind == kind) {
            if let Err(problem) = self.restart_package(package, processes).await {
                problems.push(format!("ERR: {}: {problem}", package.name));
            }
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems.join("\n")),
        }
    }

    /// Runs what is in the folder of a package.
    ///
    /// # Errors
    /// It can't be loaded: the old code goes on.
    pub(crate) async fn restart_package(
        &self,
        package: &HostedPackage,
        processes: Option<usize>,
    ) -> Result<(), String> {
        let folder = package.state.lock().settings.folder.clone();
        let (settings, warnings) =
            PackageSettings::load(&folder).map_err(|problems| problems.to_string())?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        if (settings.kind(), &settings.name) != (package.kind, &package.name) {
            return Err(format!(
                "the folder has the {} `{}` now",
                settings.kind(),
                settings.name
            ));
        }
        let (deployment, version) = (package.deployment.clone(), settings.version.to_string());
        let manifest = blocking(move || deployment.manifest(&version)).await;
        let manifest = manifest.map_err(|fault| fault.text().to_owned())?;
        signature::verify(&manifest, &self.settings.trusted_keys)
            .map_err(|error| error.to_string())?;
        let running = match package.running() {
            Running::Service(service) => {
                let restarted = service.restart(self.command(&settings, processes)?).await;
                restarted.map_err(|problem| located(&settings, problem))?;
                Running::Service(service)
            }
            Running::Crontab(crontab) => {
                signature::verify(&manifest, &self.settings.trusted_keys)
                    .map_err(|error| error.to_string())?;
                if let Purpose::Crontab(jobs) = &settings.purpose {
                    crontab.replace(settings.folder.clone(), jobs.clone());
                }
                Running::Crontab(crontab)
            }
            Running::Rejected(_) => self.run(&settings, &manifest, processes).await?,
        };
        *package.state.lock() = HostedState {
            settings,
            manifest,
            running,
        };
        Ok(())
    }

    /// Lets the calls that run end, at most 30 s, and ends all processes.
    pub(crate) async fn shutdown(&self) {
        let packages: Vec<_> = self.packages.lock().values().cloned().collect();
        let mut ending = tokio::task::JoinSet::new();
        for package in packages {
            ending.spawn(async move {
                match package.running() {
                    Running::Service(service) => service.shutdown().await,
                    Running::Crontab(crontab) => crontab.shutdown().await,
                    Running::Rejected(_) => {}
                }
            });
        }
        while ending.join_next().await.is_some() {}
    }

    pub(crate) fn hosted(&self, kind: Kind, name: &str) -> Option<Arc<HostedPackage>> {
        self.packages.lock().get(&(kind, name.to_owned())).cloned()
    }

    /// The package with a file of this hash at this path.
    pub(crate) fn deployment_of(&self, sha256: &str, path: &str) -> Option<Deployment> {
        let packages = self.packages.lock();
        let has_file = |package: &&Arc<HostedPackage>| {
            let state = package.state.lock();
            state
                .manifest
                .files
                .iter()
                .any(|file| file.sha256 == sha256 && file.path == path)
        };
        packages
            .values()
            .find(has_file)
            .map(|package| package.deployment.clone())
    }

    pub(crate) fn info(&self) -> AgentInfo {
        let packages = self.packages.lock();
        AgentInfo {
            id: self.id.clone(),
            host: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            software: concat!("tce-frame ", env!("CARGO_PKG_VERSION")).to_owned(),
            started_ms: self.started_ms,
            packages: packages
                .keys()
                .map(|(kind, name)| format!("{kind} {name}"))
                .collect(),
        }
    }

    pub(crate) fn packages(&self, kind: &str, name: &str) -> Vec<Package> {
        let hosted: Vec<_> = self
            .packages
            .lock()
            .values()
            .map(|package| package.describe())
            .collect();
        let rejected = self.rejected.lock().clone();
        let is_wanted = |package: &Package| {
            let is_kind = kind.is_empty() || package.kind.is_empty() || package.kind == kind;
            is_kind && (name.is_empty() || package.name == name)
        };
        hosted
            .into_iter()
            .chain(rejected)
            .filter(is_wanted)
            .collect()
    }

    /// The crontabs of this agent; the one of this name, if it is not empty.
    pub(crate) fn crontabs(&self, name: &str) -> Vec<frame::Crontab> {
        let packages = self.packages.lock();
        let wanted = packages
            .values()
            .filter(|package| name.is_empty() || package.name == name);
        let describe = |package: &Arc<HostedPackage>| match package.running() {
            Running::Crontab(crontab) => {
                let version = package.state.lock().manifest.version.clone();
                Some(crontab.describe(&version, &self.id))
            }
            Running::Service(_) | Running::Rejected(_) => None,
        };
        wanted.filter_map(describe).collect()
    }

    pub(crate) async fn job_log(
        &self,
        crontab: &str,
        job: i32,
        tick_ms: i64,
    ) -> Result<Vec<u8>, Fault> {
        let hosted = self.hosted(Kind::Crontab, crontab);
        match hosted.map(|hosted| hosted.running()) {
            Some(Running::Crontab(crontab)) => blocking(move || crontab.log(job, tick_ms)).await,
            _ => Err(Fault::new(
                ErrorCode::RemoteException,
                format!(
                    "the crontab `{}` does not run at this agent",
                    crontab.escape_debug()
                ),
            )),
        }
    }

    /// The source text of a function.
    pub(crate) async fn source_of(&self, name: &str) -> Result<String, Fault> {
        let unknown = || {
            Fault::new(
                ErrorCode::InterfaceNotFound,
                format!("there is no function `{}`", name.escape_debug()),
            )
        };
        let (base, _) = name.split_once("__").ok_or_else(unknown)?;
        let hosted = self.hosted(Kind::Service, base).ok_or_else(unknown)?;
        match hosted.running() {
            Running::Service(service) => service.source_of(name).await,
            Running::Crontab(_) => Err(unknown()),
            Running::Rejected(reason) => Err(Fault::new(ErrorCode::RemoteException, reason)),
        }
    }
}

/// A missing function is a mistake in `setting.yaml`.
fn located(settings: &PackageSettings, problem: String) -> String {
    let Purpose::Service(service) = &settings.purpose else {
        return problem;
    };
    let missing = service
        .functions
        .iter()
        .find(|(name, _)| problem.ends_with(&format!("has no function `{name}`")));
    match missing {
        Some((_, line)) => format!(
            "{}:{line}: {problem}",
            settings.folder.join("setting.yaml").display()
        ),
        None => problem,
    }
}
