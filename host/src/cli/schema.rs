//! `portcullis schema`: the JSON Schema of the configuration, for editors.

use super::output::print;
use crate::config;

/// Prints the schema. `config/portcullis.schema.json` is its output.
pub(super) fn run() {
    print(text());
}

fn text() -> String {
    format!("{:#}\n", config::schema())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_for_editors_is_up_to_date() {
        let kept = include_str!("../../../config/portcullis.schema.json");
        assert!(
            kept == text(),
            "type `portcullis schema > config/portcullis.schema.json`"
        );
    }
}
