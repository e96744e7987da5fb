//! Reading the Prometheus text format.

/// The sum of the samples of `name` that carry all of `labels`. A counter is found with or without `_total`.
pub(crate) fn sum(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let name = name.strip_suffix("_total").unwrap_or(name);
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .filter(|(series, _)| {
            let (metric, of) = series.split_once('{').unwrap_or((series, ""));
            metric.strip_suffix("_total").unwrap_or(metric) == name
                && labels.iter().all(|(label, value)| has_label(of, label, value))
        })
        .filter_map(|(_, value)| value.parse::<f64>().ok())
        .sum()
}

fn has_label(series: &str, label: &str, value: &str) -> bool {
    let wanted = format!("{label}=\"{value}\"");
    series
        .match_indices(&wanted)
        .any(|(at, _)| at == 0 || series.as_bytes()[at - 1] == b',')
}

#[cfg(test)]
mod tests {
    use super::sum;

    const TEXT: &str = "# TYPE calls counter\ncalls_total{filter=\"a\",phase=\"request\"} 2\n\
        calls_total{filter=\"b\",phase=\"request\"} 3\nconnections 7\n";

    #[test]
    fn samples_are_summed_by_their_labels() {
        assert_eq!(sum(TEXT, "calls_total", &[("phase", "request")]), 5.0);
        assert_eq!(sum(TEXT, "calls_total", &[("filter", "b")]), 3.0);
        assert_eq!(sum(TEXT, "connections", &[]), 7.0);
        assert_eq!(sum(TEXT, "calls", &[("filter", "c")]), 0.0);
    }
}
