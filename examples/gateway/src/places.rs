//! The places for connections, and the share of them that one client may have.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

#[derive(Clone)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    /// How many each client has, and how many it may have.
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    share: usize,
}

/// A place, until it is dropped.
pub(crate) struct Place {
    places: Places,
    client: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn new(all: usize, share: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), taken: Arc::default(), share }
    }

    /// Waits until there is a place.
    pub(crate) async fn free(&self) -> Option<OwnedSemaphorePermit> {
        self.all.clone().acquire_owned().await.ok()
    }

    /// Gives a place to this client. Returns nothing where the client has all of its share.
    pub(crate) fn take(&self, client: IpAddr, permit: OwnedSemaphorePermit) -> Option<Place> {
        let client = party(client);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let number = taken.entry(client).or_default();
        if *number >= self.share {
            return None;
        }
        *number += 1;
        Some(Place { places: self.clone(), client, _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = taken.get_mut(&self.client) {
            *number -= 1;
            if *number == 0 {
                taken.remove(&self.client);
            }
        }
    }
}

/// The client of this address. One client commonly has all addresses of an IPv6 network of 64 bits.
fn party(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn a_client_gets_its_share_and_others_get_theirs() {
        let places = Places::new(10, 2);
        let take =
            async |client: &str| places.take(client.parse().unwrap(), places.free().await.unwrap());
        let first = take("1.2.3.4").await;
        let second = take("1.2.3.4").await;
        assert!(first.is_some() && second.is_some());
        assert!(take("1.2.3.4").await.is_none());
        assert!(take("1.2.3.5").await.is_some());
        drop(first);
        assert!(take("1.2.3.4").await.is_some());

        let network = [take("2001:db8::1").await, take("2001:db8::ffff:2").await];
        assert!(network.iter().all(Option::is_some));
        assert!(take("2001:db8::3").await.is_none());
        assert!(take("2001:db8:0:1::3").await.is_some());
        drop((second, network));
        assert!(places.taken.lock().unwrap().is_empty());
        assert_eq!(places.all.available_permits(), 10);
    }
}
