//! What stands for AMQP in a program that is built without the feature `amqp`:
//! a broker that none of its endpoints is ever open at.

use std::{convert::Infallible, sync::Arc};

use super::{BrokerError, ConsumeMode, Delivery, Publication, PublishError, Settlement};
use crate::config::{MqEndpoint, Settings};

/// Refuses every endpoint.
#[derive(Debug)]
pub(crate) struct AmqpBroker(());

impl AmqpBroker {
    pub(super) fn new(_: &Arc<Settings>) -> Self {
        Self(())
    }

    pub(super) async fn publisher(&self, _: &MqEndpoint) -> Result<AmqpPublisher, BrokerError> {
        Err(absent())
    }

    pub(super) async fn consumer(
        &self,
        _: &MqEndpoint,
        _: ConsumeMode,
    ) -> Result<AmqpConsumer, BrokerError> {
        Err(absent())
    }
}

fn absent() -> BrokerError {
    BrokerError(
        "this program is built without AMQP: enable the feature `amqp` of tce-runtime".to_owned(),
    )
}

/// There is none.
#[derive(Debug)]
pub(crate) struct AmqpPublisher(Infallible);

impl AmqpPublisher {
    pub(super) async fn publish(&self, _: &Publication) -> Result<(), PublishError> {
        match self.0 {}
    }

    pub(super) fn is_confirmed(&self) -> bool {
        match self.0 {}
    }

    pub(super) async fn heard(&self) {
        match self.0 {}
    }

    pub(super) async fn lost(&self) {
        match self.0 {}
    }

    pub(super) async fn recovered(&mut self) {
        match self.0 {}
    }

    pub(super) async fn redeclare(&self) -> bool {
        match self.0 {}
    }
}

/// There is none.
#[derive(Debug)]
pub(crate) struct AmqpConsumer(Infallible);

impl AmqpConsumer {
    pub(super) async fn next(&mut self) -> Option<Delivery> {
        match self.0 {}
    }

    pub(super) async fn cancel(&mut self) {
        match self.0 {}
    }

    pub(super) fn prefetch(&self) -> u16 {
        match self.0 {}
    }

    pub(super) fn tell(&mut self, _: &[Settlement]) {
        match self.0 {}
    }

    pub(super) async fn close(&mut self) {
        match self.0 {}
    }
}
