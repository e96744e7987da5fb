//! Tables that are read from tables only.

/// Lets each struct be read from a table and nothing else. Serde's derived code takes a list for the fields in their
/// order as well, so that `[[server]]` for `[server]` would bring up strange errors about the first field.
///
/// A struct derives `Deserialize` with `remote = "Self"`, which leaves the derived code in a function of its own.
macro_rules! only_tables {
    ($($table:ident: $expected:literal,)*) => {$(
        impl<'de> serde::Deserialize<'de> for $table {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reader;

                impl<'de> serde::de::Visitor<'de> for Reader {
                    type Value = $table;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<$table, A::Error> {
                        $table::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                    }
                }

                deserializer.deserialize_any(Reader)
            }
        }
    )*};
}
