//! Answers of EC2: parts of moto's that are replaced, and our own.

use crate::instance::Described;

/// The texts between two marks.
pub(crate) fn between<'a>(text: &'a str, before: &'a str, after: &'a str) -> Vec<&'a str> {
    text.split(before).skip(1).filter_map(|rest| Some(rest.split_once(after)?.0)).collect()
}

/// An answer with an error.
pub(crate) fn error(code: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>hands</RequestID></Response>"
    )
}

/// An answer to CreateFleet with these instances, as moto has told them, and these errors.
pub(crate) fn fleet(instances: &str, errors: &[(String, String)], code: &str) -> String {
    let item = |(instance_type, subnet): &(String, String)| {
        format!(
            "<item><launchTemplateAndOverrides><overrides><instanceType>{instance_type}</instanceType><subnetId>{subnet}</subnetId></overrides></launchTemplateAndOverrides><errorCode>{code}</errorCode><errorMessage>There is no capacity for {instance_type} in the zone of {subnet}.</errorMessage></item>"
        )
    };
    let errors: String = errors.iter().map(item).collect();
    format!(
        "<CreateFleetResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15\"><requestId>hands</requestId><fleetId>fleet-hands</fleetId><errorSet>{errors}</errorSet><fleetInstanceSet>{instances}</fleetInstanceSet></CreateFleetResponse>"
    )
}

/// An answer to GetConsoleOutput.
pub(crate) fn console(id: &str, output: &str) -> String {
    format!(
        "<GetConsoleOutputResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15\"><requestId>hands</requestId><instanceId>{id}</instanceId><output>{output}</output></GetConsoleOutputResponse>"
    )
}

/// moto's descriptions of instances, in the states that the hands tell; those that they do not tell are left out.
pub(crate) fn described(answer: &str, state_of: impl Fn(&str) -> Option<Described>) -> String {
    const RESERVATION: &str = "<reservationId>";
    const ITEM: &str = "<item>";
    const END: &str = "</reservationSet>";
    let mut parts = answer.split(RESERVATION);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let id = between(part, "<instanceId>", "</instanceId>").first().copied().unwrap_or_default();
        if let Some(state) = state_of(id) {
            whole.push_str(RESERVATION);
            whole.push_str(&in_state(part, &state));
        } else if let Some((_, after)) = part.split_once(END) {
            // The last one: its mark of an item is open already.
            whole.truncate(whole.rfind(ITEM).unwrap_or(whole.len()));
            whole.push_str(END);
            whole.push_str(after);
        }
    }
    whole
}

/// moto's prices of spot instances, with this price.
pub(crate) fn priced(answer: &str, usd: &str) -> String {
    const PRICE: &str = "<spotPrice>";
    let mut parts = answer.split(PRICE);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.split_once('<').map_or("", |(_, rest)| rest);
        whole.push_str(&format!("{PRICE}{usd}<{rest}"));
    }
    whole
}

/// An answer to GetServiceQuota.
pub(crate) fn quota(value: f64) -> String {
    serde_json::json!({"Quota": {"ServiceCode": "ec2", "Unit": "None", "Value": value}}).to_string()
}

fn in_state(part: &str, state: &Described) -> String {
    let Described { name, code, message } = state;
    let number = match name.as_str() {
        "pending" => 0,
        "running" => 16,
        "shutting-down" => 32,
        _ => 48,
    };
    let part = replaced(
        part,
        "<instanceState>",
        "</instanceState>",
        &format!("<code>{number}</code><name>{name}</name>"),
    );
    replaced(
        &part,
        "<stateReason>",
        "</stateReason>",
        &format!("<code>{code}</code><message>{message}</message>"),
    )
}

fn replaced(text: &str, before: &str, after: &str, with: &str) -> String {
    match text.split_once(before).and_then(|(head, rest)| Some((head, rest.split_once(after)?.1))) {
        Some((head, tail)) => format!("{head}{before}{with}{after}{tail}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_price_is_replaced() {
        let moto = "<a><item><spotPrice>0.00001</spotPrice></item><item><spotPrice>1</spotPrice></item></a>";
        let ours = "<a><item><spotPrice>0.03</spotPrice></item><item><spotPrice>0.03</spotPrice></item></a>";
        assert_eq!(priced(moto, "0.03"), ours);
    }

    #[test]
    fn an_instance_has_the_state_that_is_told_here_and_others_are_left_out() {
        let one = |id: &str| {
            format!(
                "<item><reservationId>r</reservationId><instancesSet><item><stateReason><code/><message/></stateReason><instanceId>{id}</instanceId><instanceState><code>48</code><name>terminated</name></instanceState></item></instancesSet></item>"
            )
        };
        let answer = format!("<reservationSet>{}{}</reservationSet><a/>", one("i-1"), one("i-2"));
        let told = |told: &'static str| {
            described(&answer, move |id| {
                let state = || Described { name: "pending".into(), code: "c".into(), message: "m".into() };
                told.contains(id).then(state)
            })
        };
        let changed = |id: &str| {
            let state = "<stateReason><code>c</code><message>m</message></stateReason>";
            one(id)
                .replace("<stateReason><code/><message/></stateReason>", state)
                .replace("<code>48</code><name>terminated</name>", "<code>0</code><name>pending</name>")
        };
        for (ids, left) in [
            ("i-1 i-2", changed("i-1") + &changed("i-2")),
            ("i-1", changed("i-1")),
            ("i-2", changed("i-2")),
            ("none", String::new()),
        ] {
            assert_eq!(told(ids), format!("<reservationSet>{left}</reservationSet><a/>"), "{ids}");
        }
    }
}
