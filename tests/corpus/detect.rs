//! What holds for the first bytes of any connection: as soon as they are enough to say what it speaks, more of them never say
//! something else. Used by the fuzz target of the same name and by `corpus`.

use outrigger_proxy::detect::{Detected, Sought, judge};

/// Longer than any ClientHello that a client sends.
const LONGEST: usize = 2048;

/// Looks at every beginning of the bytes, for all that may be looked for.
pub(crate) fn check(data: &[u8]) {
    let data = &data[..data.len().min(LONGEST)];
    for (http, tls) in [(true, false), (false, true), (true, true)] {
        let sought = Sought { http, tls };
        let mut said: Option<Detected> = None;
        for end in 0..=data.len() {
            let now = judge(&data[..end], sought);
            assert!(
                said.is_none() || now == said,
                "{sought:?}: {said:?}, and with {end} bytes {now:?}"
            );
            match &now {
                Some(Detected::Http) => assert!(http, "{sought:?}"),
                Some(Detected::Tls(_)) => assert!(tls, "{sought:?}"),
                Some(Detected::Opaque) | None => {}
            }
            said = now;
        }
    }
}
