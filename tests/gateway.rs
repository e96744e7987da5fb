//! `portcullis`, built beside the tests so that they can start it as a process of its own.

fn main() -> std::process::ExitCode {
    portcullis::cli::main()
}
