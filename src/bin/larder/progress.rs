//! Progress bars on standard error. They show only if that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `total` entries, or a counter if their number is not known.
pub(crate) fn bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{bar:30} {human_pos}/{human_len} entries  {msg}  {elapsed}, {eta} left",
        ),
        None => (ProgressBar::no_length(), "{spinner} {human_pos} entries  {msg}  {elapsed}"),
    };
    // A template that is wrong would be a bar without numbers.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
