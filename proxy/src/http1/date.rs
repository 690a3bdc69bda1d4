//! The Date of a response that came without one (RFC 9110, section 6.6.1), made once a second and thread.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

const LENGTH: usize = 29;

thread_local! {
    static MADE: Cell<(u64, [u8; LENGTH])> = const { Cell::new((0, [b' '; LENGTH])) };
}

/// Now, as HTTP writes it.
pub(super) fn now() -> [u8; LENGTH] {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.unwrap_or_default().as_secs();
    let (of, text) = MADE.get();
    if of == seconds {
        return text;
    }
    let made = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    let mut text = [b' '; LENGTH];
    for (to, from) in text.iter_mut().zip(made.bytes()) {
        *to = from;
    }
    MADE.set((seconds, text));
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_a_date_of_now() {
        for _ in 0..2 {
            let date = super::now();
            let date = httpdate::parse_http_date(std::str::from_utf8(&date).unwrap()).unwrap();
            assert!(date.elapsed().unwrap().as_secs() < 60);
        }
    }
}
