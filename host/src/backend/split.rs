//! Several upstreams for one route, each with a share of its requests.

use super::proxy::Proxy;

/// Gives each of several upstreams its share of the requests, at random.
pub(crate) struct Split {
    /// With the sum of the weights up to and with its own.
    proxies: Vec<(u32, Proxy)>,
}

impl Split {
    /// Upstreams with their weights; at least one weight is not 0.
    pub(crate) fn new(proxies: impl IntoIterator<Item = (u32, Proxy)>) -> Split {
        let sums = proxies.into_iter().scan(0_u32, |sum, (weight, proxy)| {
            *sum = sum.saturating_add(weight);
            Some((*sum, proxy))
        });
        Split {
            proxies: sums.collect(),
        }
    }

    /// The one for the next request.
    pub(crate) fn choose(&self) -> Option<&Proxy> {
        let (sum, _) = self.proxies.last()?;
        let drawn = fastrand::u32(0..(*sum).max(1));
        let place = self.proxies.partition_point(|(until, _)| *until <= drawn);
        self.proxies.get(place).map(|(_, proxy)| proxy)
    }
}
