//! The `portcullis` binary.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What jemalloc reads when it starts. Each thread keeps at least 200 free blocks of every small size, and looks through
/// them less often: a request takes about fifty and frees them on the same thread, so that by default the caches ran over
/// and were filled again all the time (4 % of a plain request's instructions). One thread gives back what is not used for ten
/// seconds: without it only a thread that allocates does so, and a gateway at rest keeps what its busiest minute took.
// SAFETY: the name is jemalloc's own, spelled as the crate's prefix makes it, and nothing else defines it. jemalloc reads
// it as a pointer to a C string: a reference to an array is one pointer, and the text ends with a NUL.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MALLOC_CONF: &[u8; 105] =
    b"background_thread:true,max_background_threads:1,tcache_gc_incr_bytes:8388608,tcache_nslots_small_min:200\0";

fn main() -> ExitCode {
    portcullis::cli::main()
}
