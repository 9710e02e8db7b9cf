//! Leaders that fail, are cancelled or panic. Each leaves the call to a follower.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::join_all};
use larder::{Outcome, store::Memory};
use tokio::time::Instant;

use crate::support::{Broken, Double, Gate, Stand, empty, get, ok, soon};

/// Fails this many times, then answers with the number of the call.
fn failing(failures: usize) -> Double {
    Double::fallible(move |_, call| match call <= failures {
        true => Err(Broken("down")),
        false => Ok(ok(call.to_string())),
    })
}

async fn outcome(stand: &Stand) -> Result<String, Broken> {
    let response = stand.call(get("/").body(empty()).unwrap()).await?;
    Ok(crate::support::Reply::read(response).await.text().to_owned())
}

#[tokio::test]
async fn follower_takes_over_when_the_leader_fails_and_does_not_get_its_error() {
    for failures in [1, 2] {
        let gate = Gate::closed();
        let stand = Stand::new(failing(failures).behind(&gate));
        let mut burst = pin!(join_all((0..10).map(|_| outcome(&stand))));
        for call in 1..=failures + 1 {
            assert!(burst.as_mut().now_or_never().is_none());
            if call <= 2 {
                assert_eq!(stand.calls(), call, "one call at a time");
            }
            gate.open(1);
        }
        gate.open(10);
        let outcomes = soon(burst).await;
        let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        assert_eq!(failed, failures, "no other caller gets the error");
        if failures == 1 {
            assert_eq!(stand.calls(), 2);
            assert_eq!(outcomes.iter().filter(|it| **it == Ok("2".into())).count(), 9);
        }
        assert_eq!(stand.layer.stats().in_flight, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn followers_call_concurrently_after_two_failed_calls() {
    let slow = Duration::from_millis(300);
    let stand = Stand::new(failing(usize::MAX).taking(slow));
    let begin = Instant::now();
    let outcomes = join_all((0..10).map(|_| outcome(&stand))).await;
    assert!(outcomes.iter().all(Result::is_err), "each gets the error of its own call");
    assert_eq!(stand.calls(), 10);
    assert!(begin.elapsed() >= slow * 3 && begin.elapsed() < slow * 4, "{:?}", begin.elapsed());
    assert_eq!(stand.layer.stats().in_flight, 0);
}

#[tokio::test]
async fn follower_takes_over_when_the_leader_is_cancelled() {
    let gate = Gate::closed();
    let stand = Stand::new(Double::counting().first_behind(&gate));
    let mut leading = Box::pin(stand.get("/"));
    assert!(leading.as_mut().now_or_never().is_none());
    let mut burst = pin!(join_all((0..10).map(|_| stand.get("/"))));
    assert!(burst.as_mut().now_or_never().is_none());
    assert_eq!(stand.calls(), 1);
    drop(leading);
    assert!(soon(burst).await.iter().all(|reply| reply.text() == "2"));
    assert_eq!((stand.calls(), stand.layer.stats().in_flight), (2, 0));
}

/// Each follower waits in a task of its own. The end of the leader wakes one of them.
#[tokio::test(start_paused = true)]
async fn sleeping_follower_is_woken_when_the_leader_is_cancelled() {
    let gate = Gate::closed();
    let stand = Arc::new(Stand::new(Double::counting().first_behind(&gate)));
    let ask = || {
        let stand = stand.clone();
        tokio::spawn(async move { stand.get("/").await.text().to_owned() })
    };
    let leading = ask();
    tokio::task::yield_now().await;
    let followers = [ask(), ask(), ask()];
    tokio::task::yield_now().await;
    leading.abort();
    for follower in followers {
        assert_eq!(soon(follower).await.unwrap(), "2");
    }
}

/// The follower that would lead next may be gone as well.
#[tokio::test]
async fn follower_that_is_not_polled_does_not_hold_up_the_others() {
    let gate = Gate::closed();
    let stand = Stand::new(Double::counting().first_behind(&gate));
    let ask = || Box::pin(stand.get("/"));
    let [mut leading, mut asleep, mut gone, mut last] = [ask(), ask(), ask(), ask()];
    for caller in [&mut leading, &mut asleep, &mut gone, &mut last] {
        assert!(caller.as_mut().now_or_never().is_none());
    }
    drop(leading);
    drop(gone);
    assert_eq!(soon(last).await.text(), "2");
    assert_eq!(asleep.await.text(), "2");
    assert_eq!(stand.layer.stats().in_flight, 0);
}

#[tokio::test]
async fn follower_takes_over_when_the_leader_panics() {
    let gate = Gate::closed();
    let inner = Double::new(|_, call| match call {
        1 => panic!("on purpose"),
        _ => ok(call.to_string()),
    });
    let stand = Arc::new(Stand::over(Memory::default(), inner.first_behind(&gate)));
    let ask = || {
        let stand = stand.clone();
        tokio::spawn(async move { stand.get("/").await })
    };
    let leading = ask();
    tokio::task::yield_now().await;
    let followers: Vec<_> = (0..10).map(|_| ask()).collect();
    tokio::task::yield_now().await;
    assert_eq!(stand.calls(), 1);
    gate.open(1);
    assert!(leading.await.unwrap_err().is_panic());
    for follower in followers {
        assert_eq!(soon(follower).await.unwrap().text(), "2");
    }
    assert_eq!((stand.calls(), stand.layer.stats().in_flight), (2, 0));
    assert_eq!(stand.get("/").await.outcome(), Outcome::Hit);
}
