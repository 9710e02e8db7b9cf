//! No secret gets out at any level.

use crate::{
    captured::Captured,
    day::{self, OUTCOMES, SECRET},
    metered::{Metered, recorder},
};

#[tokio::test]
async fn no_secret_is_in_a_span_an_event_or_a_metric() {
    let recorder = recorder();
    let (mut metered, _guard) = Metered::begin(&recorder);
    let captured = Captured::begin();
    let day = day::live(|layer| layer).await;
    let (logged, metrics) = (captured.text(), metered.text());
    assert!(logged.matches("larder.call").count() >= OUTCOMES.len());
    assert!(metrics.contains("larder_requests_total"));
    for text in [&logged, &metrics] {
        assert!(!text.contains(SECRET), "{text}");
        assert!(!text.contains("http://"), "{text}");
        // A key is shown by its first digits only.
        for key in day.said.iter().flatten().filter_map(|said| said.key()) {
            assert!(!text.contains(&key.to_string()), "{text}");
        }
    }
    let key = day.said[0].as_ref().unwrap().key().unwrap();
    assert!(logged.contains(&key.to_string()[..8]));
}
