//! Which container has which address, as Docker or the sidecar tells it: for people, who know containers by name.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::docker::{ContainerName, Happening, Seen};

/// Most addresses that are remembered; then it begins anew.
const ADDRESSES_MAX: usize = 10_000;

/// Names by address. What has ended keeps its name until the address is another's.
#[derive(Clone, Default)]
pub struct ContainerNames(Arc<Mutex<HashMap<IpAddr, ContainerName>>>);

impl ContainerNames {
    /// Learns from what happens to a container; that each which runs was started is told at first.
    pub(super) fn note(&self, seen: &Seen) {
        if seen.what != Happening::Starts {
            return;
        }
        let mut names = self.0.lock();
        if ADDRESSES_MAX <= names.len() {
            names.clear();
        }
        names.extend(seen.addresses.iter().map(|address| (*address, seen.container.clone())));
    }

    /// The container at an address, where one was seen.
    pub fn at(&self, address: IpAddr) -> Option<String> {
        self.0.lock().get(&address).map(ToString::to_string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_the_name_of_who_was_started_there_last() {
        let names = ContainerNames::default();
        let address: IpAddr = "172.18.0.3".parse().unwrap();
        let see = |container: &str, what| {
            let container = ContainerName::parse(container).unwrap();
            names.note(&Seen { addresses: vec![address], container, what });
            names.at(address)
        };
        assert_eq!(see("shop-backend-1", Happening::Stops), None);
        assert_eq!(see("shop-backend-1", Happening::Starts).as_deref(), Some("shop-backend-1"));
        assert_eq!(see("shop-backend-1", Happening::Stops).as_deref(), Some("shop-backend-1"), "it is what is down");
        assert_eq!(see("shop-backend-2", Happening::Starts).as_deref(), Some("shop-backend-2"));
    }
}
