//! What every role needs: the boot's facts, words to the host, objects handed over, a lease kept alive.

use std::sync::Arc;
use std::time::Duration;

use ring::rand::SystemRandom;
use serde::Serialize;
use tiltyard_provisioning::channel::{
    Ack, GuestState, MESSAGE_MAX_BYTES, Service, StoredLog, StreamOpener, read_message, write_message,
};
use tiltyard_provisioning::charter::{BrokerOwner, Dataset, OpenCharter};
use tiltyard_provisioning::hpke;
use tiltyard_provisioning::keyid::Split;
use tiltyard_provisioning::order::{GuestReport, ObjectRef, Order, ResultEnvelope};
use tiltyard_provisioning::statement::{Signed, Verified};
use tokio_util::compat::FuturesAsyncWriteCompatExt;
use zeroize::Zeroizing;

use crate::attester::Attester;
use crate::broker::{BrokerClient, Grant, LogProof};
use crate::error::GuestError;
use crate::inputs::Inputs;

/// A booted guest.
pub(crate) struct Guest {
    pub(crate) attester: Attester,
    pub(crate) charter: OpenCharter,
    /// As both parties signed it.
    pub(crate) charter_envelope: Vec<u8>,
    pub(crate) inputs: Inputs,
    pub(crate) opener: StreamOpener,
    pub(crate) order: Option<Signed<Order>>,
    /// The log that the host kept, when a referee restarts.
    pub(crate) log: Option<StoredLog>,
}

impl Guest {
    pub(crate) fn broker(&self, owner: BrokerOwner) -> Result<BrokerClient, GuestError> {
        BrokerClient::new(&self.opener, &self.charter, owner)
    }

    /// The order of a trainer or evaluator, under the key that it names for its referee. That this is the attested
    /// referee is the broker's to judge: it releases nothing on another's order.
    pub(crate) fn order(&self) -> Result<Verified<Order>, GuestError> {
        let refuse = |why: String| GuestError::BootDocument { what: "order", why };
        let signed = self.order.as_ref().ok_or_else(|| refuse("absent".to_owned()))?;
        let order = signed.verify(&signed.key).map_err(|error| refuse(error.to_string()))?;
        let fits = order.referee.signing == signed.key
            && order.charter == self.charter.p()
            && order.tournament == self.charter.tournament.id
            && order.work.role() == self.attester.config().role;
        if fits { Ok(order) } else { Err(refuse("is for another charter, tournament or role".to_owned())) }
    }

    pub(crate) async fn state(&self, state: GuestState) -> Result<(), GuestError> {
        Self::send_state(&self.opener, state).await
    }

    pub(crate) async fn send_state(opener: &StreamOpener, state: GuestState) -> Result<(), GuestError> {
        let mut stream = opener.open(Service::State).await.map_err(channel_error)?;
        write_message(&mut stream, &state).await.map_err(channel_error)
    }

    /// One message to the host and its word that it is durable.
    pub(crate) async fn tell<T: Serialize>(&self, service: Service, message: &T) -> Result<(), GuestError> {
        let mut stream = self.opener.open(service).await.map_err(channel_error)?;
        write_message(&mut stream, message).await.map_err(channel_error)?;
        acknowledged(&mut stream).await
    }

    /// Hands a sealed object to the host.
    pub(crate) async fn hand_over(&self, object: &ObjectRef, sealed: &[u8]) -> Result<(), GuestError> {
        let mut stream = self.opener.open(Service::Object).await.map_err(channel_error)?;
        write_message(&mut stream, object).await.map_err(channel_error)?;
        tokio::io::AsyncWriteExt::write_all(&mut (&mut stream).compat_write(), sealed)
            .await
            .map_err(channel_error)?;
        tokio::io::AsyncWriteExt::flush(&mut (&mut stream).compat_write()).await.map_err(channel_error)?;
        acknowledged(&mut stream).await
    }

    /// Seals the report to the referee that signed the order, and sends it through the host.
    pub(crate) async fn report(
        &self,
        order: &Verified<Order>,
        report: &GuestReport,
    ) -> Result<(), GuestError> {
        let plain = Zeroizing::new(serde_json::to_vec(report).map_err(channel_error)?);
        let digest = order.digest();
        let (enc, ct) = hpke::seal_to(
            &order.referee.hpke,
            &hpke::result_info(&self.charter.p()),
            &hpke::result_aad(&digest),
            &plain,
            &SystemRandom::new(),
        )
        .map_err(|_| GuestError::Crypto("sealing the result"))?;
        self.tell(Service::Report, &ResultEnvelope { order: digest, enc: enc.into(), ct: ct.into() }).await
    }

    /// Renews a lease at two thirds of its window, until it fails; completes only then.
    ///
    /// Whoever holds leased keys races its work against this and stops when it completes.
    pub(crate) async fn keep_lease(self: &Arc<Self>, client: BrokerClient, first: &Grant) -> GuestError {
        let mut window_s = first.lease.not_after.saturating_sub(first.lease.issued_at);
        loop {
            tokio::time::sleep(Duration::from_secs((window_s * 2 / 3).max(1))).await;
            // The host carries the bytes and may hold them back: what is left of the window is all there is.
            let rest = Duration::from_secs((window_s / 3).max(1));
            let renewal = client.attest(&self.attester, Vec::new(), self.order.as_ref(), LogProof::default());
            match tokio::time::timeout(rest, renewal).await {
                Ok(Ok(grant)) => window_s = grant.lease.not_after.saturating_sub(grant.issued_at),
                Ok(Err(error)) => return error,
                Err(_) => return GuestError::LeaseLapsed,
            }
        }
    }
}

async fn acknowledged(stream: &mut tiltyard_provisioning::channel::Stream) -> Result<(), GuestError> {
    match read_message(stream, MESSAGE_MAX_BYTES).await.map_err(channel_error)? {
        Ack::Done => Ok(()),
        Ack::Refused { .. } => Err(GuestError::Channel("the host refused a message".to_owned())),
    }
}

/// One split of a dataset, as the charter names it.
pub(crate) fn named_dataset<'a>(
    charter: &'a OpenCharter,
    dataset_id: &str,
    split: Split,
) -> Result<&'a Dataset, GuestError> {
    charter
        .datasets
        .iter()
        .find(|dataset| dataset.dataset_id == dataset_id && dataset.split == split)
        .ok_or_else(|| GuestError::BootDocument {
            what: "order",
            why: "names a dataset that the charter doesn't".to_owned(),
        })
}

pub(crate) fn channel_error(error: impl std::fmt::Display) -> GuestError {
    GuestError::Channel(error.to_string())
}
