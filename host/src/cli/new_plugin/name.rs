//! The name of a plugin, as a crate, a library and a type.

/// A name that cargo takes for a package: lower case letters, digits, `-` and `_`, a letter first.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Name(String);

/// Rust's keywords, and what a package cannot be called beside the ones it depends on.
const RESERVED: [&str; 58] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "portcullis-sdk",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "schemars",
    "self",
    "serde",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
];

/// Types that the template names, or that are there in every crate.
const TAKEN: [&str; 18] = [
    "Box",
    "Clone",
    "Default",
    "Deserialize",
    "Exchange",
    "Failure",
    "Filter",
    "HeaderName",
    "JsonSchema",
    "Option",
    "Outcome",
    "Reply",
    "Request",
    "Result",
    "Settings",
    "SettingsError",
    "String",
    "Vec",
];

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// What a name looks like.
    pub(super) fn parse(text: &str) -> Result<Name, String> {
        let example = "write for example `check-tenant`";
        if !text.starts_with(|first: char| first.is_ascii_lowercase()) {
            return Err(format!("a name begins with a lower case letter: {example}"));
        }
        if !text
            .chars()
            .all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || matches!(char, '-' | '_'))
        {
            return Err(format!(
                "a name is made of lower case letters, digits, `-` and `_`: {example}"
            ));
        }
        if text.len() > 64 {
            return Err("a name has 64 characters at most".to_owned());
        }
        if RESERVED.contains(&text.replace('_', "-").as_str()) {
            return Err(format!("a crate cannot be called so: {example}"));
        }
        Ok(Name(text.to_owned()))
    }

    /// The plugin's and the package's name: `check-tenant`.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The library's name: `check_tenant`.
    pub(super) fn crate_name(&self) -> String {
        self.0.replace('-', "_")
    }

    /// The filter's type: `CheckTenant`.
    pub(super) fn type_name(&self) -> String {
        let mut name = String::with_capacity(self.0.len());
        for word in self.0.split(['-', '_']) {
            let mut letters = word.chars();
            name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
            name.push_str(letters.as_str());
        }
        if TAKEN.contains(&name.as_str()) {
            name.push_str("Filter");
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_in_three_ways() {
        let name = Name::parse("check-tenant_2").unwrap();
        assert_eq!(
            (name.as_str(), name.crate_name().as_str()),
            ("check-tenant_2", "check_tenant_2")
        );
        assert_eq!(name.type_name(), "CheckTenant2");
        assert_eq!(Name::parse("settings").unwrap().type_name(), "SettingsFilter");
    }

    #[test]
    fn what_cargo_would_refuse_is_refused() {
        for name in [
            "",
            "../outside",
            "9lives",
            "two words",
            "self",
            "Check",
            "a/b",
            "-a",
            "proc_macro",
            "é",
            "a.b",
        ] {
            assert!(Name::parse(name).is_err(), "{name:?}");
        }
    }
}
