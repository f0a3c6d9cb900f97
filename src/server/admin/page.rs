//! The page for people: one file, put together here from its parts. It loads nothing but the events, and the policy that goes with
//! it allows its own style and script by their digests and nothing else.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use ring::digest::{SHA256, digest};

use super::answer::Answer;

const HTML: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
/// The page's scripts, in the order in which they are loaded; the last one starts the page.
const SCRIPTS: [&str; 4] = [
    include_str!("page/words.js"),
    include_str!("page/chart.js"),
    include_str!("page/view.js"),
    include_str!("page/live.js"),
];

pub(super) struct Page {
    text: Bytes,
    policy: String,
}

impl Page {
    pub(super) fn assemble() -> Self {
        let script = SCRIPTS.concat();
        let text = HTML.replace("/* style */", STYLE).replace("/* script */", &script);
        let policy = format!(
            "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'",
            source(STYLE),
            source(&script)
        );
        Self {
            text: text.into(),
            policy,
        }
    }

    pub(super) fn answer(&self) -> Answer {
        Answer::new(StatusCode::OK, "text/html; charset=utf-8", self.text.clone()).policy(&self.policy)
    }
}

/// Writes the Content Security Policy's name of an inline element (CSP level 3, section 2.3.1).
fn source(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_its_parts_stay_inside_their_elements() {
        let page = Page::assemble();
        let text = std::str::from_utf8(&page.text).unwrap();
        assert_eq!(text.matches("<style>").count(), 1);
        assert!(text.contains(&format!("<style>{STYLE}</style>")));
        assert!(text.contains(&format!("<script>{}</script>", SCRIPTS.concat())));
        assert!(!STYLE.contains("</") && !SCRIPTS.concat().contains("</script"));
    }
}
