//! What configuration reads has a size: a wrong path must not fill the memory.

use portcullis_tests::{Folder, portcullis_in};

const ROUTE: &str = "version = 1\n[server]\nlisten = '127.0.0.1:0'\n[[route]]\nmatch = '/'\n";

/// What `check` says of this file in a folder, and its exit code.
fn checked(folder: &Folder, configuration: &str) -> (i32, String) {
    folder.write("portcullis.toml", configuration);
    let ran = portcullis_in(folder.path(), &["check", "portcullis.toml"]);
    (ran.code, format!("{}{}", ran.stdout, ran.stderr))
}

#[test]
fn a_secret_has_a_mebibyte_at_most() {
    let folder = Folder::new();
    let configuration = format!("{ROUTE}respond = {{ body = '${{file:secret}}' }}\n");

    folder.write("secret", "s".repeat(1 << 20));
    assert_eq!(checked(&folder, &configuration).0, 0);
    folder.write("secret", "s".repeat((1 << 20) + 1));
    let (code, said) = checked(&folder, &configuration);

    assert!(
        code == 1 && said.contains("larger than 1 MiB") && said.contains("portcullis.toml:6:"),
        "{said}"
    );
    assert!(!said.contains("sss"));
}

#[test]
fn a_list_of_targets_has_sixteen_mebibytes_at_most() {
    let folder = Folder::new();
    let configuration = format!("{ROUTE}to = 'found'\n[upstream.found]\ndiscover = 'file:targets.toml'\n");
    let targets = |comment: usize| format!("targets = ['http://127.0.0.1:9001']\n#{}\n", "x".repeat(comment));

    folder.write("targets.toml", targets(1 << 20));
    let (code, said) = checked(&folder, &configuration);
    assert!(code == 0 && !said.contains("larger than"), "{said}");
    folder.write("targets.toml", targets(16 << 20));
    let (code, said) = checked(&folder, &configuration);

    // A warning: the file may be a better one by the time it is used.
    assert!(code == 0 && said.contains("larger than 16 MiB"), "{said}");
}

#[test]
fn a_pattern_includes_a_thousand_files_at_most() {
    let folder = Folder::new();
    let configuration = format!("include = 'parts/*.toml'\n{ROUTE}respond = {{}}\n");
    for number in 0..1000 {
        folder.write(&format!("parts/{number}.toml"), "");
    }
    assert_eq!(checked(&folder, &configuration).0, 0);

    folder.write("parts/more.toml", "");
    let (code, said) = checked(&folder, &configuration);

    assert!(
        code == 1 && said.contains("more than 1000 files") && said.contains("portcullis.toml:1:"),
        "{said}"
    );
}
