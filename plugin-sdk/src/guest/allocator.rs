//! The allocator of every plugin. Edits and answers are made of many short texts, and the target's own allocator was a third of
//! what a guest computed on a request (callgrind, three standard filters).

#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();
