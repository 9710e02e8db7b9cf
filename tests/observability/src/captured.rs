//! A subscriber that records every span and every event, at every level.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, Once},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::DefaultGuard,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

static EVERYWHERE: Once = Once::new();

type Fields = BTreeMap<&'static str, String>;

/// A span, with the fields that were recorded so far.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) name: &'static str,
    pub(crate) parent: Option<&'static str>,
    pub(crate) fields: Fields,
}

/// An event, with its span.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) span: Option<&'static str>,
    pub(crate) fields: Fields,
}

#[derive(Debug, Default)]
struct Seen {
    spans: Vec<Span>,
    lines: Vec<Line>,
}

/// The spans and events of this thread. The recording ends when this is dropped.
pub(crate) struct Captured {
    seen: Arc<Mutex<Seen>>,
    _guard: DefaultGuard,
}

impl Captured {
    pub(crate) fn begin() -> Self {
        // If there were only this thread's subscriber, other threads would have none. When such a
        // thread reaches a span or an event first, tracing would disable it for all threads.
        EVERYWHERE.call_once(|| tracing_subscriber::registry().init());
        let seen = Arc::<Mutex<Seen>>::default();
        let subscriber = tracing_subscriber::registry().with(Keep(seen.clone()));
        Self { seen, _guard: subscriber.set_default() }
    }

    /// The spans of this name, in order.
    pub(crate) fn spans(&self, name: &str) -> Vec<Span> {
        self.seen.lock().unwrap().spans.iter().filter(|span| span.name == name).cloned().collect()
    }

    /// The events with this message.
    pub(crate) fn lines(&self, message: &str) -> Vec<Line> {
        let is_it = |line: &&Line| line.fields["message"] == message;
        self.seen.lock().unwrap().lines.iter().filter(is_it).cloned().collect()
    }

    /// All spans and events, as text.
    pub(crate) fn text(&self) -> String {
        format!("{:#?}", self.seen.lock().unwrap())
    }
}

struct Keep(Arc<Mutex<Seen>>);

/// The index of a recorded span. The id of a span may be reused later.
struct Place(usize);

struct Into<'f>(&'f mut Fields);

impl Visit for Into<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'l> LookupSpan<'l>> Layer<S> for Keep {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::new();
        attributes.record(&mut Into(&mut fields));
        let span = context.span(id).unwrap();
        let parent = span.parent().map(|parent| parent.name());
        let mut seen = self.0.lock().unwrap();
        span.extensions_mut().insert(Place(seen.spans.len()));
        seen.spans.push(Span { name: span.name(), parent, fields });
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let place = span.extensions().get::<Place>().unwrap().0;
        record.record(&mut Into(&mut self.0.lock().unwrap().spans[place].fields));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::new();
        event.record(&mut Into(&mut fields));
        let span = context.event_span(event).map(|span| span.name());
        let level = *event.metadata().level();
        self.0.lock().unwrap().lines.push(Line { level, span, fields });
    }
}
