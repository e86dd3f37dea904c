//! Files that nobody would write.

use std::fs;

use proptest::{collection::vec, prelude::*, sample::Index};
use tce_gateway::{config::print_config, routing::explain};

use crate::{folder, parse};

/// Reads a text and uses what comes of it; each mistake is one line.
fn read(text: &str) -> Result<(), TestCaseError> {
    let loaded = match parse(text) {
        Ok(loaded) => loaded,
        Err(problems) => {
            let told = problems.to_string();
            prop_assert_eq!(told.lines().count(), problems.problems().len());
            prop_assert!(
                told.lines().all(|line| line.starts_with("services.xml:")),
                "{}",
                told
            );
            return Ok(());
        }
    };
    for server in &loaded.services.servers {
        prop_assert!(!server.listen.is_empty());
        prop_assert!(!print_config(&loaded.services, server).is_empty());
        for interface in &loaded.services.interfaces {
            let ifidx = interface.ifidx.to_string();
            prop_assert!(explain(&loaded.services, server, &ifidx).is_ok());
        }
    }
    Ok(())
}

/// The borders between which an attribute, a name or a tag stands.
fn pieces(text: &str) -> Vec<&str> {
    text.split_inclusive(['<', '>', '"', '=', ' ', ',', '#', '{', '}'])
        .collect()
}

proptest! {
    #[test]
    fn no_text_is_a_panic(text in ".{0,200}") {
        read(&text)?;
    }

    #[test]
    fn no_element_is_a_panic(
        rows in vec((
            "(if|var|ep|server|route|call|return|extra_mqs|properties|property|x)",
            vec(("(id|name|type|in|out|host|port|address|value|ins)", "[a-c0-9#,:;{}./\u{e9}-]{0,8}"), 0..4),
        ), 0..20),
    ) {
        let mut text = "<SNS><InterfaceDef>".to_owned();
        for (place, (element, attributes)) in rows.iter().enumerate() {
            match place {
                3 => text += "</InterfaceDef><VariantDef>",
                6 => text += "</VariantDef><EndPoints>",
                12 => text += "</EndPoints><servers><server name=\"a\">",
                _ => {}
            }
            text += &format!("<{element}");
            for (place, (name, value)) in attributes.iter().enumerate() {
                text += &format!(" {name}{}=\"{value}\"", if place == 0 { "" } else { "_" });
            }
            text += "/>";
        }
        text += match rows.len() {
            0..=3 => "</InterfaceDef></SNS>",
            4..=6 => "</VariantDef></SNS>",
            7..=12 => "</EndPoints></SNS>",
            _ => "</server></servers></SNS>",
        };
        read(&text)?;
    }

    /// Pieces of a real file go, come twice or stand elsewhere.
    #[test]
    fn no_slip_of_the_pen_is_a_panic(slips in vec((any::<Index>(), any::<Index>(), 0..4_u8), 1..8)) {
        let text = fs::read_to_string(folder().join("ok/cluster.xml")).unwrap();
        let mut pieces = pieces(&text);
        for (one, other, slip) in slips {
            let (one, other) = (one.index(pieces.len()), other.index(pieces.len()));
            match slip {
                0 => drop(pieces.remove(one)),
                1 => pieces.insert(one, pieces[other]),
                2 => pieces.swap(one, other),
                _ => pieces[one] = pieces[other],
            }
        }
        read(&pieces.concat())?;
    }
}

/// Each of these would take memory, stack or hours from a reader without limits.
#[test]
fn hostile_files_are_refused() {
    let deep = "<a>".repeat(100_000);
    let wide = format!("<a>{}</a>", "<b/>".repeat(200_000));
    let endpoints: String = (0..15_000)
        .map(|number| format!("<ep name=\"{number:0>44}\"/>"))
        .collect();
    let many = format!("<a><EndPoints>{endpoints}</EndPoints><servers/></a>");
    let laughs = "<!DOCTYPE a [<!ENTITY b \"bbbb\">]><a>&b;</a>";
    for text in [deep.as_str(), &wide, &many, laughs, &"<".repeat(2 << 20)] {
        let told = parse(text).unwrap_err().to_string();
        assert!(told.lines().count() <= 101, "{told}");
    }
}
