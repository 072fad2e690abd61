//! How large the head of a request may be. HTTP/1.1 is measured while it is read; HTTP/2 here, so that the client gets a
//! problem document and somebody counts it. The library would answer by a bare 431 and tell nobody.

use http::Request;
use http::header::COOKIE;

/// As many fields as hyper takes in HTTP/1.1.
const MOST_FIELDS: usize = 100;
/// What a request line and a field have beside their words in HTTP/1.1: `" " " HTTP/1.1\r\n" "\r\n"`, `": " "\r\n"`.
const LINE: usize = 14;
const FIELD: usize = 4;
/// So many times the limit is read of HTTP/2, to be refused here. It gets the library's answer beyond.
const READ: usize = 4;

/// The list of fields that HTTP/2 may bring, as its setting counts (RFC 9113 section 6.5.2). A lower limit may be enforced
/// than what it says.
pub(super) fn largest_list(limit: usize) -> u32 {
    u32::try_from(limit.saturating_mul(READ)).unwrap_or(u32::MAX)
}

/// Whether the head of a request is over the limit: in bytes, as HTTP/1.1 would spell it, or by the number of its fields.
pub(super) fn is_too_large<B>(request: &Request<B>, limit: usize) -> bool {
    let (uri, headers) = (request.uri(), request.headers());
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    let host = uri
        .authority()
        .map_or(0, |host| host.as_str().len() + "host".len() + FIELD);
    let fields = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD);
    let whole = request.method().as_str().len() + target + LINE + host + fields.sum::<usize>();
    whole > limit || has_too_many(headers)
}

/// The crumbs of a cookie (RFC 9113 section 8.2.3) become one field.
fn has_too_many(headers: &http::HeaderMap) -> bool {
    headers.len() > MOST_FIELDS
        && headers.len() - headers.get_all(COOKIE).iter().count().saturating_sub(1) > MOST_FIELDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_large_as_in_the_other_version() {
        let spelled = "GET /a?b=c HTTP/1.1\r\nhost: shop.example\r\nx: yz\r\n\r\n";
        let request = Request::get("https://shop.example/a?b=c")
            .header("x", "yz")
            .body(())
            .unwrap();
        assert!(!is_too_large(&request, spelled.len()));
        assert!(is_too_large(&request, spelled.len() - 1));
        assert_eq!((largest_list(16 << 10), largest_list(usize::MAX)), (64 << 10, u32::MAX));
    }

    #[test]
    fn fields_are_counted_and_crumbs_are_one() {
        let with = |fields: usize, crumbs: usize| {
            let request = (0..fields).fold(Request::get("/"), |request, n| request.header(format!("x-{n}"), "y"));
            let request = (0..crumbs).fold(request, |request, _| request.header(COOKIE, "a=b"));
            is_too_large(&request.body(()).unwrap(), usize::MAX)
        };
        assert!(!with(MOST_FIELDS, 0) && with(MOST_FIELDS + 1, 0));
        assert!(!with(MOST_FIELDS - 1, 200) && with(MOST_FIELDS, 2));
    }
}
