//! `portcullis new plugin`: the crate of a filter, with a test and all that it needs to build.

mod embedded;
mod name;
mod sdk;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use self::name::Name;
use super::output::{print, shown};
use super::run::Failed;

#[derive(Debug, Args)]
#[command(
    after_help = "The SDK and the interface are written beside it, so that it builds anywhere, and without a network as \
        far as cargo has its dependencies.\n\n\
        Examples:\n  \
        portcullis new plugin check-tenant\n  \
        portcullis new plugin check-tenant --path filters/check-tenant"
)]
pub(super) struct Arguments {
    /// The plugin's name, which is its crate's: a verb and a noun is a good one
    #[arg(value_parser = Name::parse)]
    name: Name,
    /// The folder to write [default: ./NAME]
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

/// Writes the crate, and prints what to type next.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failed> {
    let folder = arguments
        .path
        .clone()
        .unwrap_or_else(|| PathBuf::from(arguments.name.as_str()));
    write(&arguments.name, &folder)?;
    print(next(&arguments.name, &folder));
    Ok(())
}

fn write(name: &Name, folder: &Path) -> Result<(), Failed> {
    let failed =
        |error: &dyn std::fmt::Display| Failed::Machine(format!("`{}` cannot be written: {error}", shown(folder)));
    if !is_free(folder).map_err(|error| failed(&error))? {
        let message = format!(
            "`{}` is there already: `--path DIR` names another folder",
            shown(folder)
        );
        return Err(Failed::Machine(message));
    }
    for (path, text) in files(name).map_err(|error| failed(&error))? {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, text))
            .map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// Whether there is nothing, or an empty folder.
fn is_free(folder: &Path) -> io::Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        Err(error) => Err(error),
    }
}

/// Every file of the crate, by its path in it.
fn files(name: &Name) -> Result<Vec<(String, String)>, sdk::ManifestError> {
    let template = embedded::below("plugin-sdk/template/").map(|(path, text)| {
        let path = path.strip_suffix(".in").unwrap_or(path);
        (path.to_owned(), expand(text, name))
    });
    let sdk = embedded::below("plugin-sdk/")
        .filter(|(path, _)| *path == "README.md" || path.starts_with("src/"))
        .map(|(path, text)| (format!("vendor/plugin-sdk/{path}"), text.to_owned()));
    let wit = embedded::below("wit/").map(|(path, text)| (format!("vendor/wit/{path}"), text.to_owned()));
    let mut files: Vec<(String, String)> = template.chain(sdk).chain(wit).collect();
    files.push(("vendor/plugin-sdk/Cargo.toml".to_owned(), sdk::manifest()?));
    files.push((".gitignore".to_owned(), "/target\n".to_owned()));
    Ok(files)
}

fn expand(template: &str, name: &Name) -> String {
    template
        .replace("{{name}}", name.as_str())
        .replace("{{crate}}", &name.crate_name())
        .replace("{{Name}}", &name.type_name())
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
}

fn next(name: &Name, folder: &Path) -> String {
    let folder = shown(folder);
    let crate_name = name.crate_name();
    format!(
        "{folder} holds a filter, its test, and the SDK that it is built with. Next:\n\n  \
        cd {folder}\n  \
        cargo test\n  \
        rustup target add wasm32-wasip2\n  \
        cargo build --release --target wasm32-wasip2\n  \
        portcullis plugin inspect target/wasm32-wasip2/release/{crate_name}.wasm\n\n\
        README.md says how to use it in a configuration, vendor/plugin-sdk/README.md what a filter can do.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Vec<(String, String)> {
        files(&Name::parse("check-tenant").unwrap()).unwrap()
    }

    fn text(path: &str) -> String {
        let file = written().into_iter().find(|(known, _)| known == path);
        file.unwrap_or_else(|| panic!("no {path}")).1
    }

    #[test]
    fn the_template_is_filled_in() {
        assert!(text("Cargo.toml").contains("name = \"check-tenant\""));
        assert!(text("src/lib.rs").contains("impl Filter for CheckTenant"));
        assert!(text("README.md").contains("release/check_tenant.wasm"));
        for (path, text) in written().iter().filter(|(path, _)| !path.starts_with("vendor/")) {
            assert!(!text.contains("{{"), "{path}: {text}");
        }
    }

    #[test]
    fn sdk_and_interface_stand_beside_it() {
        for path in [
            "vendor/plugin-sdk/src/lib.rs",
            "vendor/plugin-sdk/README.md",
            "vendor/wit/v0.1/filter.wit",
        ] {
            assert!(!text(path).is_empty());
        }
        assert!(
            !written()
                .iter()
                .any(|(path, _)| path.starts_with("vendor/plugin-sdk/template") || path.ends_with(".in"))
        );
    }

    #[test]
    fn only_an_empty_folder_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let name = Name::parse("check-tenant").unwrap();
        write(&name, folder.path()).unwrap();
        assert!(folder.path().join("vendor/wit/v0.1/world.wit").is_file());

        let again = write(&name, folder.path()).unwrap_err();
        assert!(again.to_string().contains("--path"), "{again}");
        let file = folder.path().join("README.md");
        assert!(write(&name, &file).is_err());
    }
}
