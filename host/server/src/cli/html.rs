//! Pages of their own: nothing is fetched, nothing runs, light and dark as whoever
//! reads them has it. Written without a library: every text from elsewhere goes through
//! [`escaped`].

const STYLE: &str = include_str!("html.css");

/// `title` is escaped here, `body` by whoever made it.
pub(super) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <title>{}</title><style>{STYLE}</style></head>\
         <body><main>{body}</main></body></html>\n",
        escaped(title)
    )
}

/// For between tags and in quoted attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() && c != '\n' => safe.extend(c.escape_unicode()),
            c => safe.push(c),
        }
    }
    safe
}
