//! The commands of an agent: who may give them, and what they do.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tce_runtime::{Context, ErrorCode, Fault, TypedMulti as _};

use crate::{
    config::Kind,
    deployment::Deployment,
    hosted::{HostedPackages, blocking},
    idl::frame::{
        AgentInfo, Change, Crontab, File, Management, ManagementMulti, Manifest, Package,
    },
    install, process, signature,
    version::Version,
};

/// How long an agent waits for what the others have.
const ASK_TIME: Duration = Duration::from_secs(2);
/// How long a chunk of a file may take.
const FETCH_TIME: Duration = Duration::from_secs(30);
/// How long a command of the shell may run.
const SYSTEM_TIME: Duration = Duration::from_secs(60);

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    Operate,
    Deploy,
    System,
}

/// Implements the interface for the agent.
pub(crate) struct ManagementImpl(pub(crate) Arc<HostedPackages>);

fn refused(text: impl Into<String>) -> Fault {
    Fault::new(ErrorCode::RemoteException, text)
}

fn kind_of(kind: &str) -> Result<Kind, Fault> {
    kind.parse().map_err(|reason: String| refused(reason))
}

impl ManagementImpl {
    /// Checks the right of the caller, and logs what is asked.
    fn admit(&self, right: Right, what: &str, context: &Context) -> Result<(), Fault> {
        let user = context.broker_user();
        let rights = &self.0.settings.rights;
        let (name, listed, is_own_enough) = match right {
            Right::Operate => ("operate", &rights.operate, true),
            Right::Deploy => ("deploy", &rights.deploy, true),
            Right::System => ("system", &rights.system, false),
        };
        let is_own = user == Some(self.0.services.broker.user());
        let is_listed = user.is_some_and(|user| listed.iter().any(|listed| listed == user));
        if is_listed || (is_own && is_own_enough) {
            tracing::info!(user, "{what}");
            return Ok(());
        }
        let user = user.unwrap_or("without a name");
        tracing::warn!(user, "refused: {what}");
        Err(refused(format!(
            "the user {user} has no right `{name}` at this agent"
        )))
    }

    /// The agent to fetch from, and its package: the highest version or the wanted one, of the hash
    /// that most agents have.
    async fn source(&self, change: &Change) -> Result<(String, Package), Fault> {
        let kind = change.kind.as_str();
        let mut all = self.0.others.with_timeout(ASK_TIME);
        if !change.source.is_empty() {
            all = all.only([&change.source]);
        }
        let asked = all.packages(kind, &change.name).collect().await;
        let replies =
            asked.map_err(|error| refused(format!("can't ask the other agents: {error}")))?;
        let wanted = match change.version.as_str() {
            "" => None,
            text => Some(
                text.parse::<Version>()
                    .map_err(|error| refused(error.to_string()))?,
            ),
        };
        let mut found = Vec::new();
        for (id, packages) in replies.values {
            for package in packages {
                let version = package.version.parse::<Version>();
                // One without a hash is not loaded.
                if let Ok(version) = version
                    && !package.hash.is_empty()
                    && wanted.as_ref().is_none_or(|wanted| *wanted == version)
                {
                    found.push((version, id.clone(), package));
                }
            }
        }
        let highest = found.iter().map(|(version, ..)| version.clone()).max();
        let Some(highest) = highest else {
            let version = wanted.map_or(String::new(), |version| format!(" {version}"));
            return Err(refused(format!(
                "no agent has the {kind} `{}`{version}",
                change.name
            )));
        };
        found.retain(|(version, ..)| *version == highest);
        let mut counts = BTreeMap::<&str, usize>::new();
        for (_, _, package) in &found {
            *counts.entry(&package.hash).or_default() += 1;
        }
        if counts.len() > 1 {
            let hashes: Vec<_> = counts
                .keys()
                .map(|hash| hash.get(..12).unwrap_or(hash))
                .collect();
            tracing::warn!(
                "agents have different files of the {kind} `{}` {highest}: {}",
                change.name,
                hashes.join(", ")
            );
        }
        let most = counts
            .into_iter()
            .max_by_key(|(_, count)| *count)
            .map(|(hash, _)| hash.to_owned());
        // In the order of the ids, so that all agents choose the same.
        let source = found
            .into_iter()
            .find(|(_, _, package)| Some(&package.hash) == most.as_ref());
        source
            .map(|(_, id, package)| (id, package))
            .ok_or_else(|| refused("no agent has it"))
    }

    /// The manifest of the source, and the files that are missing here.
    async fn fetch_package(
        &self,
        source: &str,
        package: &Package,
        deployment: &Deployment,
    ) -> Result<Manifest, Fault> {
        let from = self.0.others.only([source]).with_timeout(FETCH_TIME);
        let manifest = one(
            source,
            from.manifest(&package.kind, &package.name).collect().await,
        )?;
        if (&manifest.kind, &manifest.name) != (&package.kind, &package.name) {
            return Err(refused("the manifest is that of another package"));
        }
        signature::verify(&manifest, &self.0.settings.trusted_keys)
            .map_err(|error| refused(error.to_string()))?;
        let missing = blocking({
            let (deployment, manifest) = (deployment.clone(), manifest.clone());
            move || deployment.missing(&manifest)
        })
        .await?;
        for file in &missing {
            self.fetch_file(&from, source, file, deployment).await?;
        }
        self.0.counters.fetched(missing.len());
        Ok(manifest)
    }

    async fn fetch_file(
        &self,
        from: &ManagementMulti,
        source: &str,
        file: &File,
        deployment: &Deployment,
    ) -> Result<(), Fault> {
        let size = u64::try_from(file.size).unwrap_or(0);
        loop {
            let at = deployment.fetched(file);
            if at >= size {
                return Ok(());
            }
            let offset = i64::try_from(at).unwrap_or(i64::MAX);
            let chunk = one(
                source,
                from.fetch(&file.sha256, &file.path, offset).collect().await,
            )?;
            if chunk.is_empty() {
                return Err(refused(format!(
                    "the file `{}` is shorter than in the manifest: it was changed at the source",
                    file.path
                )));
            }
            let (deployment, file) = (deployment.clone(), file.clone());
            blocking(move || deployment.append(&file, &chunk)).await?;
        }
    }
}

/// The value of the only agent that was asked.
fn one<T>(
    id: &str,
    replies: Result<tce_runtime::Replies<T>, tce_runtime::RpcError>,
) -> Result<T, Fault> {
    let mut replies =
        replies.map_err(|error| refused(format!("can't ask the agent {id}: {error}")))?;
    if let Some(value) = replies.values.remove(id) {
        return Ok(value);
    }
    match replies.failures.remove(id) {
        Some(error) => Err(refused(format!("the agent {id}: {}", error.text()))),
        None => Err(refused(format!("the agent {id} does not answer"))),
    }
}

impl Management for ManagementImpl {
    async fn info(&self, _: &Context) -> Result<AgentInfo, Fault> {
        Ok(self.0.info())
    }

    async fn packages(
        &self,
        kind: String,
        name: String,
        _: &Context,
    ) -> Result<Vec<Package>, Fault> {
        Ok(self.0.packages(&kind, &name))
    }

    async fn crontabs(&self, name: String, _: &Context) -> Result<Vec<Crontab>, Fault> {
        Ok(self.0.crontabs(&name))
    }

    async fn log(
        &self,
        crontab: String,
        job: i32,
        tick_ms: i64,
        _: &Context,
    ) -> Result<Vec<u8>, Fault> {
        self.0.job_log(&crontab, job, tick_ms).await
    }

    async fn restart(
        &self,
        kind: String,
        processes: i32,
        context: &Context,
    ) -> Result<String, Fault> {
        let kind = kind_of(&kind)?;
        self.admit(
            Right::Operate,
            &format!("restart the packages of kind {kind}"),
            context,
        )?;
        let processes = usize::try_from(processes)
            .ok()
            .filter(|processes| *processes > 0);
        let _change = self.0.changes.lock().await;
        self.0.restart(kind, processes).await.map_err(refused)?;
        Ok(format!("restart {kind} ok"))
    }

    async fn update(&self, change: Change, context: &Context) -> Result<String, Fault> {
        let kind = kind_of(&change.kind)?;
        self.admit(
            Right::Deploy,
            &format!("update the {kind} `{}`", change.name),
            context,
        )?;
        let _change = self.0.changes.lock().await;
        let hosted = self.0.hosted(kind, &change.name);
        let hosted = hosted.ok_or_else(|| {
            refused(format!(
                "the {kind} `{}` is not on this server: install it",
                change.name
            ))
        })?;
        let (source, package) = self.source(&change).await?;
        if source == self.0.id {
            return Ok("I am the source code".to_owned());
        }
        let present = hosted.manifest();
        let same_version = present.version.parse::<Version>().ok() == package.version.parse().ok();
        if present.hash == package.hash && same_version {
            return Ok(format!(
                "Package {} Version {} Already on the server",
                change.name, present.version
            ));
        }
        if same_version && !change.force {
            return Err(refused(format!(
                "ERR: the {kind} `{}` {} is here with the hash {} and at the source with {}; `force` takes it",
                change.name, package.version, present.hash, package.hash
            )));
        }
        let manifest = self
            .fetch_package(&source, &package, &hosted.deployment)
            .await?;
        let (deployment, hash) = (hosted.deployment.clone(), manifest.hash.clone());
        let text = format!(
            "Update OK. Version from <{}> to <{}>",
            present.version, manifest.version
        );
        let updated = manifest.clone();
        blocking(move || deployment.update(&updated)).await?;
        tracing::info!(
            user = context.broker_user(),
            hash,
            "{kind} {}: {text}",
            change.name
        );
        self.0.counters.updated();
        hosted.set_manifest(manifest);
        Ok(text)
    }

    async fn install(&self, change: Change, context: &Context) -> Result<String, Fault> {
        let kind = kind_of(&change.kind)?;
        self.admit(
            Right::Deploy,
            &format!("install the {kind} `{}` in `{}`", change.name, change.path),
            context,
        )?;
        let _change = self.0.changes.lock().await;
        let (source, package) = self.source(&change).await?;
        if let Some(hosted) = self.0.hosted(kind, &change.name) {
            let present = hosted.manifest().version;
            let advice = if present == package.version {
                ""
            } else {
                ": update it"
            };
            let name = &change.name;
            return Ok(format!(
                "Package {name} Version {present} Already on this server{advice}"
            ));
        }
        let root = self.0.settings.install_root.clone();
        let folder = blocking({
            let path = change.path.clone();
            move || install::target(&root, &path)
        })
        .await?;
        let root = self.0.settings.install_root.clone();
        let deployment = blocking({
            let (name, folder) = (change.name.clone(), folder.clone());
            move || Deployment::open(&root, kind, &name, &folder)
        })
        .await?;
        let manifest = self.fetch_package(&source, &package, &deployment).await?;
        let file = self.0.config_file.clone();
        let version = manifest.version.clone();
        blocking({
            let folder = folder.clone();
            move || {
                deployment
                    .install(&manifest)
                    .map_err(|error| error.to_string())?;
                install::add_path(&file, &folder).map_err(|error| error.to_string())
            }
        })
        .await?;
        tracing::info!(
            user = context.broker_user(),
            hash = package.hash,
            "{kind} {} {version} installed",
            change.name
        );
        self.0.add_package(&folder).await.map_err(refused)?;
        Ok(format!(
            "Install OK. Version <{version}> in {}",
            folder.display()
        ))
    }

    async fn rollback(
        &self,
        kind: String,
        name: String,
        context: &Context,
    ) -> Result<String, Fault> {
        let kind = kind_of(&kind)?;
        self.admit(
            Right::Deploy,
            &format!("roll back the {kind} `{name}`"),
            context,
        )?;
        let _change = self.0.changes.lock().await;
        let hosted = self.0.hosted(kind, &name);
        let hosted =
            hosted.ok_or_else(|| refused(format!("the {kind} `{name}` is not on this server")))?;
        let before = hosted.manifest().version;
        let deployment = hosted.deployment.clone();
        blocking(move || deployment.rollback()).await?;
        self.0
            .restart_package(&hosted, None)
            .await
            .map_err(refused)?;
        Ok(format!(
            "Rollback OK. Version from <{before}> to <{}>",
            hosted.manifest().version
        ))
    }

    async fn manifest(
        &self,
        kind: String,
        name: String,
        context: &Context,
    ) -> Result<Manifest, Fault> {
        let kind = kind_of(&kind)?;
        self.admit(
            Right::Deploy,
            &format!("read the manifest of the {kind} `{name}`"),
            context,
        )?;
        let hosted = self.0.hosted(kind, &name);
        let hosted =
            hosted.ok_or_else(|| refused(format!("the {kind} `{name}` is not on this server")))?;
        Ok(hosted.manifest())
    }

    async fn fetch(
        &self,
        hash: String,
        path: String,
        offset: i64,
        context: &Context,
    ) -> Result<Vec<u8>, Fault> {
        self.admit(
            Right::Deploy,
            &format!("read the file `{}`", path.escape_debug()),
            context,
        )?;
        let deployment = self.0.deployment_of(&hash, &path);
        let deployment = deployment.ok_or_else(|| refused("no package here has this file"))?;
        let offset = u64::try_from(offset).map_err(|_| refused("the offset is negative"))?;
        blocking(move || deployment.read_chunk(&path, offset)).await
    }

    async fn source(&self, name: String, context: &Context) -> Result<String, Fault> {
        self.admit(
            Right::Deploy,
            &format!("read the source of `{}`", name.escape_debug()),
            context,
        )?;
        self.0.source_of(&name).await
    }

    async fn system(&self, command: String, context: &Context) -> Result<String, Fault> {
        if !self.0.settings.allow_system {
            return Err(refused(
                "`system` is switched off at this agent: `allow_system` is false",
            ));
        }
        self.admit(
            Right::System,
            &format!("run `{}`", command.escape_debug()),
            context,
        )?;
        process::shell(&command, SYSTEM_TIME).await.map_err(refused)
    }
}
