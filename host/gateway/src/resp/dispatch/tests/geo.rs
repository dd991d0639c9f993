//! Commands on places, with the replies of Redis 7.0.

use super::{check, shown};
use crate::testing::{client_of, server_on, single_member_grid};
use crate::trust::{Passwords, Trust};

#[tokio::test]
async fn replies_are_those_of_redis() {
    let server = server_on(single_member_grid(), Passwords::default());
    let client = &mut client_of(&server, Trust::Full);
    #[rustfmt::skip]
    let cases = [
        ("geoadd g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania", ":2"),
        ("geoadd g ch 13.583333 37.316667 Agrigento 13.361389 38.115556 Palermo", ":1"),
        ("geoadd g nx 1 1 Palermo", ":0"),
        ("geoadd g xx ch 13.36138 38.1155 Palermo", ":1"),
        ("geoadd g 13.361389 38.115556 Palermo", ":0"),
        ("geoadd g 181 1 x", "-ERR invalid longitude,latitude pair 181.000000,1.000000"),
        ("geoadd g 1 -85.1 x", "-ERR invalid longitude,latitude pair 1.000000,-85.100000"),
        ("geoadd g a 1 x", "-ERR value is not a valid float"),
        ("geoadd g nx xx 1 1 x", "-ERR syntax error"),
        ("geoadd g 1 1 a 2 2", "-ERR syntax error"),
        ("geoadd g 1 Palermo", "-ERR wrong number of arguments for 'geoadd' command"),
        ("zscore g Palermo", "$16 3479099956230698"),
        ("geodist g Palermo Catania", "$11 166274.1516"),
        ("geodist g Palermo Catania KM", "$8 166.2742"),
        ("geodist g Palermo Catania mi", "$8 103.3182"),
        ("geodist g Palermo Catania ft", "$11 545518.8700"),
        ("geodist g Palermo Palermo", "$6 0.0000"),
        ("geodist g Palermo none", "$-1"),
        ("geodist none a b", "$-1"),
        ("geodist g Palermo Catania yd", "-ERR unsupported unit provided. please use M, KM, FT, MI"),
        ("geodist g Palermo Catania km x", "-ERR syntax error"),
        ("geopos g Palermo none Catania", "*3 *2 $18 13.361389338970184 $16 38.1155563954963 *-1 *2 $18 15.087267458438873 $17 37.50266842333162"),
        ("geopos none a", "*1 *-1"),
        ("geopos g", "*0"),
        ("geohash g Palermo none Catania", "*3 $11 sqc8b49rny0 $-1 $11 sqdtr74hyu0"),
        ("geohash none a", "*1 $-1"),
        ("geosearch g fromlonlat 15 37 byradius 200 km asc", "*3 $7 Catania $9 Agrigento $7 Palermo"),
        ("geosearch g fromlonlat 15 37 byradius 200 km desc withcoord withdist withhash", "*3 *4 $7 Palermo $8 190.4424 :3479099956230698 *2 $18 13.361389338970184 $16 38.1155563954963 *4 $9 Agrigento $8 130.4235 :3479030013248308 *2 $18 13.583331406116486 $18 37.316668049938166 *4 $7 Catania $7 56.4413 :3479447370796909 *2 $18 15.087267458438873 $17 37.50266842333162"),
        ("geosearch g frommember Palermo bybox 400 300 km asc withdist", "*3 *2 $7 Palermo $6 0.0000 *2 $9 Agrigento $7 90.9778 *2 $7 Catania $8 166.2742"),
        ("geosearch g fromlonlat 15 37 byradius 200 km count 2", "*2 $7 Catania $9 Agrigento"),
        ("geosearch g fromlonlat 15 37 byradius 200 km count 1 any", "*1 $9 Agrigento"),
        ("geosearch g fromlonlat 15 37 byradius 200 km", "*3 $9 Agrigento $7 Palermo $7 Catania"),
        ("geosearch g fromlonlat 15 37 byradius 20000 km", "*3 $9 Agrigento $7 Palermo $7 Catania"),
        ("geosearch g fromlonlat 15 37 byradius 1 m withdist", "*0"),
        ("geosearch none frommember a byradius 1 km", "*0"),
        ("geosearch g frommember none byradius 1 km", "-ERR could not decode requested zset member"),
        ("geosearch g byradius 200 km asc withdist withhash", "-ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for geosearch"),
        ("geosearch g fromlonlat 15 37 asc withdist withhash", "-ERR exactly one of BYRADIUS and BYBOX can be specified for geosearch"),
        ("geosearch g fromlonlat 15 37 frommember a byradius 1 km", "-ERR syntax error"),
        ("geosearch g fromlonlat 15 37 byradius 1 km bybox 1 1 km", "-ERR syntax error"),
        ("geosearch g fromlonlat 15 37 byradius -1 km", "-ERR radius cannot be negative"),
        ("geosearch g fromlonlat 15 37 byradius x km", "-ERR need numeric radius"),
        ("geosearch g fromlonlat 15 37 byradius 1 x", "-ERR unsupported unit provided. please use M, KM, FT, MI"),
        ("geosearch g fromlonlat 15 37 bybox x 1 km", "-ERR need numeric width"),
        ("geosearch g fromlonlat 15 37 bybox 1 x km", "-ERR need numeric height"),
        ("geosearch g fromlonlat 15 37 bybox 1 -1 km", "-ERR height or width cannot be negative"),
        ("geosearch g fromlonlat 15 370 byradius 1 km", "-ERR invalid longitude,latitude pair 15.000000,370.000000"),
        ("geosearch g fromlonlat 15 37 byradius 1 km count 0", "-ERR COUNT must be > 0"),
        ("geosearch g fromlonlat 15 37 byradius 1 km count x", "-ERR value is not an integer or out of range"),
        ("geosearch g fromlonlat 15 37 byradius 1 km count", "-ERR syntax error"),
        ("geosearch g fromlonlat 15 37 byradius 1 km any", "-ERR the ANY argument requires COUNT argument"),
        ("geosearch g fromlonlat 15 37 byradius 1 km store x", "-ERR syntax error"),
        ("geosearchstore d g fromlonlat 15 37 byradius 200 km", ":3"),
        ("zrange d 0 -1 withscores", "*6 $9 Agrigento $16 3479030013248308 $7 Palermo $16 3479099956230698 $7 Catania $16 3479447370796909"),
        ("geosearchstore d g fromlonlat 15 37 byradius 200 km asc count 2 storedist", ":2"),
        ("zrange d 0 -1 withscores", "*4 $7 Catania $16 56.4412578701582 $9 Agrigento $18 130.42348706714702"),
        ("geosearchstore d g fromlonlat 15 37 byradius 200 km withdist", "-ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options"),
        ("geosearchstore d none fromlonlat 15 37 byradius 200 km", ":0"),
        ("exists d", ":0"),
        ("georadius g 15 37 200 km withdist asc", "*3 *2 $7 Catania $7 56.4413 *2 $9 Agrigento $8 130.4235 *2 $7 Palermo $8 190.4424"),
        ("georadius g 15 37 200 km storedist d", ":3"),
        ("zrange d 0 -1 withscores", "*6 $7 Catania $16 56.4412578701582 $9 Agrigento $18 130.42348706714702 $7 Palermo $18 190.44242984775784"),
        ("georadius g 15 37 200 km store d withhash", "-ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options"),
        ("georadius g 15 37 200 km store", "-ERR syntax error"),
        ("georadius_ro g 15 37 200 km desc", "*3 $7 Palermo $9 Agrigento $7 Catania"),
        ("georadius_ro g 15 37 200 km store d", "-ERR syntax error"),
        ("georadiusbymember g Agrigento 100 km asc", "*2 $9 Agrigento $7 Palermo"),
        ("georadiusbymember g Agrigento 100 km store d", ":2"),
        ("zcard d", ":2"),
        ("georadiusbymember_ro g Agrigento 100 km withcoord asc", "*2 *2 $9 Agrigento *2 $18 13.583331406116486 $18 37.316668049938166 *2 $7 Palermo *2 $18 13.361389338970184 $16 38.1155563954963"),
        ("georadiusbymember g none 1 km", "-ERR could not decode requested zset member"),
        ("georadius none 15 37 200 km store d", ":0"),
        ("exists d", ":0"),
        ("set s x", "+OK"),
        ("geosearch s fromlonlat 15 37 byradius 200 km", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("geopos s a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("geodist s a b", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("geosearchstore d s fromlonlat 15 37 byradius 200 km", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("zadd odd -5 a 1e300 b inf c 4503599627370496 d", ":4"),
        ("geopos odd a d", "*2 *2 $3 180 $11 85.05112878 *2 $19 -179.99999731779099 $11 85.05112878"),
        ("geohash odd d", "*1 $11 bp05b5048p0"),
    ];
    check(client, &cases).await;
}

#[tokio::test]
async fn a_result_is_stored_in_any_partition() {
    let server = server_on(single_member_grid(), Passwords::default());
    let client = &mut client_of(&server, Trust::Full);
    shown(client, "geoadd g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania").await;
    for number in 0..10 {
        let store = format!("geosearchstore d{number} g fromlonlat 15 37 byradius 100 km");
        assert_eq!(shown(client, &store).await, ":1");
        assert_eq!(shown(client, &format!("zrange d{number} 0 -1")).await, "*1 $7 Catania");
        let none = format!("georadiusbymember g none 1 km store d{number}");
        let error = "-ERR could not decode requested zset member";
        assert_eq!(shown(client, &none).await, error);
        assert_eq!(shown(client, &format!("exists d{number}")).await, ":1");
    }
}

#[tokio::test]
async fn members_at_the_limits_of_the_map_are_found() {
    let server = server_on(single_member_grid(), Passwords::default());
    let client = &mut client_of(&server, Trust::Full);
    let cases = [
        ("geoadd n 0 85.05112878 pole 180 10 east", ":2"),
        ("geosearch n frommember pole byradius 1 km", "*1 $4 pole"),
        ("geosearch n frommember pole bybox 1 1 km", "*1 $4 pole"),
        ("geosearch n frommember east byradius 1 km", "*1 $4 east"),
        ("geosearch n fromlonlat 180 10 byradius 1 km", "*1 $4 east"),
        ("geosearch n fromlonlat -179.999 10 byradius 1 km", "*1 $4 east"),
        ("geosearch n fromlonlat 0 85.05112878 byradius 1 m withdist", "*1 *2 $4 pole $6 0.0257"),
        ("georadiusbymember n east 0 m", "*1 $4 east"),
        ("georadius n 0 85.05 1 km", "*1 $4 pole"),
    ];
    check(client, &cases).await;
}
