//! The consistency conditions 1 to 4 (clause 3.3.2), once nothing is written any more: what is read
//! at one moment is what was read at the next.

use vatic_client::{Client, ClientError, Record, ScanOptions};
use vatic_core::key::Key;

use super::rows::{
    self, COUNT, DISTRICT_YTD, LINES, NEW_ORDERS, NEXT, ORDERS, SEQUENCES, WAREHOUSE_YTD, YTD,
};
use crate::demo;

/// What does not hold, in words; nothing where all does.
pub(crate) async fn check(client: &Client, warehouses: u32) -> Result<Vec<String>, ClientError> {
    let mut faults = Vec::new();
    for warehouse in 1..=warehouses {
        faults.extend(money(client, warehouse).await?);
        for district in 1..=super::DISTRICTS {
            faults.extend(orders(client, warehouse, district).await?);
        }
    }
    Ok(faults)
}

/// Condition 1: a warehouse took what its districts took.
async fn money(client: &Client, warehouse: u32) -> Result<Option<String>, ClientError> {
    let took = client.get(&rows::of_warehouse(WAREHOUSE_YTD, warehouse)).await?;
    let took = integer(took.as_ref(), YTD);
    let mut districts = 0;
    for district in 1..=super::DISTRICTS {
        let own = client.get(&rows::of_district(DISTRICT_YTD, warehouse, district)).await?;
        districts += integer(own.as_ref(), YTD);
    }
    let wrong = took != districts;
    Ok(wrong.then(|| format!("warehouse {warehouse}: took {took}, its districts {districts}")))
}

/// Conditions 2 to 4: numbers without gaps up to the next one, and as many lines as orders say.
async fn orders(
    client: &Client,
    warehouse: u32,
    district: u32,
) -> Result<Vec<String>, ClientError> {
    let sequence = client.get(&rows::of_district(SEQUENCES, warehouse, district)).await?;
    let next = integer(sequence.as_ref(), NEXT);
    let scan = async |collection| {
        let range = rows::district_range(collection, warehouse, district);
        client.scan_all(&range, ScanOptions::default()).await
    };
    let (orders, new_orders) = (scan(ORDERS).await?, scan(NEW_ORDERS).await?);
    let lines = scan(LINES).await?.len() as i64;
    let ordered: i64 = orders.iter().map(|order| integer(Some(order), COUNT)).sum();
    let mut faults = Vec::new();
    let mut hold = |holds: bool, what: String| {
        if !holds {
            faults.push(format!("warehouse {warehouse}, district {district}: {what}"));
        }
    };
    for (named, found) in [("orders", &orders), ("new orders", &new_orders)] {
        let last = found.last().map_or(0, |record| number(&record.key));
        hold(last == next - 1, format!("the last of {named} is {last}, the next will be {next}"));
        let count = found.len() as i64;
        hold(count == last, format!("{count} {named}, numbered up to {last}"));
    }
    hold(lines == ordered, format!("{lines} lines, the orders have {ordered}"));
    Ok(faults)
}

/// The number in an order's name.
fn number(key: &Key) -> i64 {
    key.sort.split('/').nth(1).and_then(|number| number.parse().ok()).unwrap_or(-1)
}

fn integer(record: Option<&Record>, field: &str) -> i64 {
    demo::integer(record.map(|record| &record.fields), field).unwrap_or(0)
}
