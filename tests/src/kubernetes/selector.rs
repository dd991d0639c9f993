//! Label selectors.

use serde_json::Value;

/// Whether `labels` match all requirements of `selector`.
pub(super) fn fits(selector: &str, labels: &Value) -> bool {
    split(selector).iter().all(|requirement| matches_one(requirement, labels))
}

/// Splits at commas that are not within parentheses.
fn split(selector: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in selector.chars() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if c == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

fn matches_one(requirement: &str, labels: &Value) -> bool {
    let text = requirement.trim();
    let label = |key: &str| labels[key.trim()].as_str();
    for (word, wanted) in [(" notin ", false), (" in ", true)] {
        if let Some((key, values)) = text.split_once(word) {
            let values = values.trim().trim_start_matches('(').trim_end_matches(')');
            let within = label(key)
                .is_some_and(|label| values.split(',').any(|value| value.trim() == label));
            return within == wanted;
        }
    }
    if let Some((key, value)) = text.split_once("!=") {
        return label(key) != Some(value.trim());
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return label(key) == Some(value.trim());
    }
    match text.strip_prefix('!') {
        Some(key) => label(key).is_none(),
        None => label(text).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn requirements_in_the_syntax_of_kubectl_are_supported() {
        let labels = serde_json::json!({ "app": "till", "tier": "b" });
        for yes in
            ["", "app=till", "app==till,tier in (a, b)", "app!=x", "tier notin (c)", "app", "!x"]
        {
            assert!(fits(yes, &labels), "{yes}");
        }
        for no in ["app=x", "app=till,tier in (a)", "app!=till", "tier notin (b)", "x", "!app"] {
            assert!(!fits(no, &labels), "{no}");
        }
    }
}
