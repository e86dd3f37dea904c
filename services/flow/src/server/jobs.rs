//! What jobs tell: `FlowJobs`.

use tce_runtime::{Context, Fault};

use crate::idl::flow::{FlowJobs, Job, Reply};
use crate::machine::{ChildCall, Code, Command, JobIdentity};

use super::answer::{refused, reply};
use super::arguments::texts;
use super::owner::OwnerHandle;

/// The extra by which Takler's client names itself.
const CLIENT: &str = "client";

/// Serves jobs.
pub(crate) struct JobServant(pub(super) OwnerHandle);

impl JobServant {
    async fn call(&self, job: Job, call: ChildCall, context: &Context) -> Result<Reply, Fault> {
        let command = Command::Child(identity(job, context), call);
        Ok(reply(self.0.apply("", command).await))
    }
}

fn identity(job: Job, context: &Context) -> JobIdentity {
    JobIdentity {
        path: job.path.into(),
        password: job.password.into(),
        rid: job.rid.into(),
        try_no: u32::try_from(job.try_no).unwrap_or(0),
        host: job.host.into(),
        is_takler: context.extra().get(CLIENT) == Some("takler"),
    }
}

impl FlowJobs for JobServant {
    async fn started(
        &self,
        job: Job,
        variables: Vec<String>,
        context: &Context,
    ) -> Result<Reply, Fault> {
        let pair = |text: String| {
            let (name, value) = text.split_once('=')?;
            Some((name.into(), value.into()))
        };
        let Some(pairs) = variables.into_iter().map(pair).collect() else {
            return Ok(refused(
                Code::InvalidRequest,
                "a variable is given as NAME=VALUE",
            ));
        };
        self.call(job, ChildCall::Started(pairs), context).await
    }

    async fn completed(
        &self,
        job: Job,
        removed: Vec<String>,
        context: &Context,
    ) -> Result<Reply, Fault> {
        self.call(job, ChildCall::Completed(texts(removed)), context)
            .await
    }

    async fn aborted(&self, job: Job, reason: String, context: &Context) -> Result<Reply, Fault> {
        self.call(job, ChildCall::Aborted(reason.into()), context)
            .await
    }

    async fn set_event(
        &self,
        job: Job,
        name: String,
        value: bool,
        context: &Context,
    ) -> Result<Reply, Fault> {
        self.call(job, ChildCall::Event(name.into(), value), context)
            .await
    }

    async fn set_meter(
        &self,
        job: Job,
        name: String,
        value: i32,
        context: &Context,
    ) -> Result<Reply, Fault> {
        self.call(job, ChildCall::Meter(name.into(), value), context)
            .await
    }

    async fn set_label(
        &self,
        job: Job,
        name: String,
        value: String,
        context: &Context,
    ) -> Result<Reply, Fault> {
        self.call(job, ChildCall::Label(name.into(), value.into()), context)
            .await
    }

    async fn wait_for(
        &self,
        job: Job,
        expression: String,
        context: &Context,
    ) -> Result<Reply, Fault> {
        let answered = self.0.wait(identity(job, context), expression.into());
        Ok(reply(answered.await))
    }
}
