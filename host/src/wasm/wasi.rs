//! The empty world: what a plain Rust component imports of WASI without asking. No environment, no files, no network;
//! what it prints goes to the log.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::instance::HostState;

/// Interfaces that every plugin may import, since toolchains import them unasked. Everything else is a capability.
pub(super) const ALLOWED: [&str; 5] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
];

/// Bytes of output kept for one call; what comes after is dropped.
const KEPT: usize = 4096;

/// A guest's stdout and stderr, made when the guest first touches WASI: most filters never do.
#[derive(Default)]
pub(super) struct EmptyWorld {
    context: Option<WasiCtx>,
    printed: Printed,
}

impl EmptyWorld {
    /// What was printed since the last time this was asked.
    pub(super) fn take_printed(&mut self) -> String {
        if self.context.is_none() {
            return String::new();
        }
        match self.printed.0.lock() {
            Ok(mut printed) => String::from_utf8_lossy(&std::mem::take(&mut *printed))
                .trim_end()
                .to_owned(),
            Err(_) => String::new(),
        }
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let EmptyWorld { context, printed } = &mut self.world;
        let ctx = context.get_or_insert_with(|| {
            WasiCtx::builder()
                .stdout(printed.clone())
                .stderr(printed.clone())
                .allow_tcp(false)
                .allow_udp(false)
                .build()
        });
        WasiCtxView {
            ctx,
            table: &mut self.table,
        }
    }
}

#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    // Only WASI 0.3 guests ask for this one, and none of its interfaces are linked.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }
}

impl OutputStream for Printed {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if let Ok(mut printed) = self.0.lock() {
            let room = KEPT.saturating_sub(printed.len()).min(bytes.len());
            printed.extend_from_slice(&bytes[..room]);
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

impl Pollable for Printed {
    fn ready<'life, 'future>(&'life mut self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'future>>
    where
        'life: 'future,
        Self: 'future,
    {
        Box::pin(std::future::ready(()))
    }
}
