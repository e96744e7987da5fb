//! A body that a filter rewrites while it streams: the one case where an instance stays with an exchange.

use bytes::{Bytes, BytesMut};
use wasmtime::component::ResourceAny;

use super::engine::StreamSlot;
use super::failure::Failure;
use super::pool::{Lease, said};
use crate::pipeline::ExchangeId;

/// A guest's `body-transform`, with the instance it lives in.
pub(crate) struct Transform {
    lease: Lease,
    resource: ResourceAny,
    _slot: StreamSlot,
}

/// The most that a guest is given at once: what it must hold of a body is bounded by this, not by what a peer sends.
const CHUNK: usize = 64 << 10;

impl Transform {
    pub(super) fn new(mut lease: Lease, resource: ResourceAny, slot: StreamSlot, id: ExchangeId) -> Transform {
        lease.instance.act_for(id);
        Transform {
            lease,
            resource,
            _slot: slot,
        }
    }

    /// Takes a chunk and gives what can be sent on.
    pub(crate) async fn push(&mut self, chunk: &[u8]) -> Result<Bytes, Failure> {
        let resource = self.resource;
        let mut out = BytesMut::new();
        for part in chunk.chunks(CHUNK) {
            let pushed = self
                .lease
                .instance
                .run(async |guest, store| guest.body_transform().call_push(store, resource, part).await);
            let pushed = pushed.await?.map_err(said)?;
            if chunk.len() <= CHUNK {
                return Ok(pushed.into());
            }
            out.extend_from_slice(&pushed);
        }
        Ok(out.freeze())
    }

    /// The body has ended: gives the rest, and the instance back.
    pub(crate) async fn finish(mut self) -> Result<Bytes, Failure> {
        let resource = self.resource;
        let finished = self.lease.instance.run(async |guest, store| {
            let rest = guest.body_transform().call_finish(&mut *store, resource).await?;
            resource.resource_drop_async(store).await?;
            Ok(rest)
        });
        let rest = finished.await?.map_err(said)?;
        self.lease.keep();
        Ok(rest.into())
    }
}
