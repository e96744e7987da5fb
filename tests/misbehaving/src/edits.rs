//! What the acts do with edits.

use portcullis_sdk::serde_json::json;
use portcullis_sdk::{EditError, HeaderValue, Reply, Request, Response};

/// Edits everything that a request phase may edit.
pub(crate) fn whatever_there_is(request: &mut Request) -> Result<(), EditError> {
    request.set_header("x-edited", "half")?;
    request.remove_header("x-kept")?;
    request.set_path("/elsewhere")?;
    request.set_query(Some("changed=1"))?;
    request.set_response_header("x-edited", "half")?;
    request.remove_response_header("content-type")?;
    request.set_note("changed", "yes")
}

/// Edits the response before there is one: a word more in `x-way`, the last word in `x-last`, no `x-hidden`.
pub(crate) fn ahead(request: &mut Request, word: &str) -> Result<(), EditError> {
    request.append_response_header("x-way", word)?;
    request.set_response_header("x-last", word)?;
    request.remove_response_header("x-hidden")
}

/// Tells in `x-found` what is in `x-way` by now.
pub(crate) fn tell(response: &mut Response, word: &str) -> Result<(), EditError> {
    let way = texts(&response.header_values("x-way")).join("+");
    response.append_header("x-found", format!("{word} finds {way}"))
}

/// Edits the request and says what it then is. The client sends `x-kept: 1` and `x-dropped`.
pub(crate) fn read_back(request: &mut Request) -> Result<Reply, EditError> {
    request.append_header("X-Kept", "2")?;
    let appended = texts(&request.header_values("x-kept"));
    request.set_header("x-kept", "3")?;
    request.remove_header("X-Dropped")?;
    request.set_path("/a/../b")?;
    request.set_query(None)?;
    request.set_note("who", "ada")?;
    let names = request.headers().into_iter().map(|(name, _)| name);
    Ok(Reply::json(
        200,
        json!({
            "appended": appended,
            "set": texts(&request.header_values("x-kept")),
            "removed": request.header("x-dropped").is_none(),
            "named": names.filter(|name| name.starts_with("x-")).collect::<Vec<_>>(),
            "path": request.path(),
            "query": request.query(),
            "note": request.note("who"),
        }),
    ))
}

/// Edits the response and says what it then is. The backend sends `x-kept: 1` and `x-dropped`.
pub(crate) fn read_back_response(request: &mut Request, response: &mut Response) -> Result<Reply, EditError> {
    response.append_header("X-Kept", "2")?;
    let appended = texts(&response.header_values("x-kept"));
    response.set_header("x-kept", "3")?;
    response.remove_header("X-Dropped")?;
    response.set_status(203)?;
    request.set_note("who", "ada")?;
    Ok(Reply::json(
        200,
        json!({
            "appended": appended,
            "set": texts(&response.header_values("x-kept")),
            "removed": response.header("x-dropped").is_none(),
            "status": response.status(),
            "note": request.note("who"),
            "late": format!("{:?}", request.set_header("x-late", "1")),
        }),
    ))
}

/// Tries edits that must be refused; `x-refused` says how they were.
pub(crate) fn not_allowed(request: &mut Request) -> Result<(), EditError> {
    let refused = [
        request.set_header("", "x"),
        request.set_header("not a name", "x"),
        request.set_header("x-mine\r\nx-other", "x"),
        request.set_header("x-mine", "x\r\nx-other: y"),
        request.set_header("x-mine", [b'x', 0]),
        request.set_header("content-length", "7"),
        request.append_header("Transfer-Encoding", "gzip"),
        request.remove_header("host"),
        request.set_path("no slash"),
        request.set_path("/a/../../b"),
        request.set_query(Some("a b\r\n")),
    ]
    .map(|result| match result {
        Ok(()) => "passed".to_owned(),
        Err(error) => format!("{error:?}"),
    });
    request.set_header("x-refused", refused.join(","))
}

fn texts(values: &[HeaderValue]) -> Vec<String> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    values.iter().map(text).collect()
}
