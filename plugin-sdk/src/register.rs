//! Making a crate a plugin.

/// Makes the crate a plugin with this filter. Write it once, at the root of a crate of type `cdylib`.
///
/// The plugin's name, version and summary are the crate's own, from its `Cargo.toml` (`name`, `version`,
/// `description`).
///
/// ```
/// # use portcullis_sdk::{Filter, NoSettings, SettingsError};
/// struct Nothing;
///
/// impl Filter for Nothing {
///     type Settings = NoSettings;
///
///     fn new(_: NoSettings) -> Result<Self, SettingsError> {
///         Ok(Nothing)
///     }
/// }
///
/// portcullis_sdk::register_filter!(Nothing);
/// # fn main() {}
/// ```
///
/// Natively, as under `cargo test`, it only checks that the type is a [`Filter`](crate::Filter).
#[cfg(not(target_arch = "wasm32"))]
#[macro_export]
macro_rules! register_filter {
    ($filter:ty) => {
        const _: fn() = || {
            fn is_a_filter<F: $crate::Filter>() {}
            is_a_filter::<$filter>();
        };
    };
}

/// Makes the crate a plugin with this filter. Write it once, at the root of a crate of type `cdylib`.
#[cfg(target_arch = "wasm32")]
#[macro_export]
macro_rules! register_filter {
    ($filter:ty) => {
        const _: () = {
            struct Plugin;

            impl $crate::guest::Plugin for Plugin {
                type Filter = $filter;

                const NAME: &'static str = ::core::env!("CARGO_PKG_NAME");
                const VERSION: &'static str = ::core::env!("CARGO_PKG_VERSION");
                const SUMMARY: &'static str = ::core::env!("CARGO_PKG_DESCRIPTION");

                fn filter() -> &'static $crate::guest::FilterCell<$filter> {
                    ::std::thread_local! {
                        static FILTER: ::std::cell::OnceCell<$filter> = const { ::std::cell::OnceCell::new() };
                    }
                    &FILTER
                }
            }

            type Component = $crate::guest::Component<Plugin>;
    $crate::guest::bindings::export!(Component with_types_in $crate::guest::bindings);
        };
    };
}
