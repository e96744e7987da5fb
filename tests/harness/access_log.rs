//! The gateway's access log: one JSON object a line on standard output.

/// The lines that are JSON objects; others (a banner, say) are no access log.
pub(crate) fn parse(lines: &[String]) -> Vec<serde_json::Value> {
    lines
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(serde_json::Value::is_object)
        .collect()
}
