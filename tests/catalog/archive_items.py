"""Items in the newest form of each archive, reduced to the fields that decide and made up in all values.

Forms of the Copernicus Data Space: the examples of its own generator (github.com/eu-cdse/eometadatatool, STAC 1.1).
Form of OPERA at CMR: an answer that was recorded in May 2026 (github.com/dClimate/tessera-embeddings). Forms of
Sentinel-1 RTC and the DEM at the Planetary Computer, and of Collection 1 in STAC 1.1: what other projects' tests and
the older recorded items have.
"""

from typing import Any

import shapely

BOX = (14.9, 61.2, 15.3, 61.5)
TILE = "T33VWH"


def _item(name: str, collection: str, properties: dict[str, Any], assets: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": name,
        "collection": collection,
        "bbox": list(BOX),
        "geometry": shapely.geometry.mapping(shapely.box(*BOX)),
        "properties": {"datetime": "2024-07-01T10:40:31Z", **properties},
        "links": [],
        "assets": assets,
    }


def cdse_sentinel2(baseline: str = "05.11", **properties: Any) -> dict[str, Any]:
    """Sentinel-2 L2A of CDSE. Its generator writes the offset -0.1 for every baseline."""
    name = f"S2A_MSIL2A_20240701T104031_N{baseline.replace('.', '')}_R008_{TILE}_20240701T164500"
    folder = f"s3://eodata/Sentinel-2/MSI/L2A/2024/07/01/{name}.SAFE/GRANULE/L2A/IMG_DATA"
    scaled = {"raster:scale": 0.0001, "raster:offset": -0.1}

    def asset(key: str, **more: Any) -> dict[str, Any]:
        metres = int(key[-3:-1])
        return {
            "href": f"{folder}/R{metres}m/{TILE}_20240701T104031_{key}.jp2",
            "type": "image/jp2",
            "roles": ["data", "reflectance", "sampling:original", f"gsd:{metres}m"],
            "nodata": 0,
            "gsd": metres,
            "proj:code": "EPSG:32633",
            "proj:shape": [109_800 // metres] * 2,
            "proj:transform": [metres, 0, 499_980, 0, -metres, 6_800_040],
            "auth:refs": ["s3"],
            "storage:refs": ["cdse-s3", "creodias-s3"],
            "alternate": {
                "https": {"href": "https://zipper.dataspace.copernicus.eu/odata/v1/x", "auth:refs": ["oidc"]}
            },
            **more,
        }

    told = {
        "platform": "sentinel-2a",
        "constellation": "sentinel-2",
        "processing:level": "L2",
        "processing:version": baseline,
        "product:type": "S2MSI2A",
        "eo:cloud_cover": 41.21,
        "sat:orbit_state": "descending",
        "sat:relative_orbit": 8,
        "grid:code": f"MGRS-{TILE[1:]}",
        "view:sun_azimuth": 168.5,
        "view:sun_elevation": 50.25,
    }
    keys = [f"B{n:02d}_{m}m" for n, m in ((2, 10), (3, 10), (4, 10), (8, 10), (2, 20), (3, 20), (4, 20), (11, 20))]
    assets = {key: asset(key, bands=[{"name": key[:3]}], **scaled) for key in keys}
    assets |= {"SCL_20m": asset("SCL_20m"), "SCL_60m": asset("SCL_60m")}
    assets["Product"] = {"href": "https://download.dataspace.copernicus.eu/odata/v1/x", "type": "application/zip"}
    return _item(name, "sentinel-2-l2a", told | properties, assets)


def cdse_grd() -> dict[str, Any]:
    """Sentinel-1 GRD of CDSE: raw, in the geometry of the satellite."""
    name = "S1A_IW_GRDH_1SDV_20240607T000653_20240607T000718_054210_0697DA_6EE4_COG"
    told = {
        "platform": "sentinel-1a",
        "processing:level": "L1",
        "processing:version": "01.00",
        "product:type": "IW_GRDH_1S",
        "sat:orbit_state": "ascending",
        "sat:relative_orbit": 63,
        "view:incidence_angle": 39.2,
    }
    assets = {
        key: {"href": f"s3://eodata/{name}/{key}.tiff", "nodata": 0, "proj:code": None, "roles": ["data"]}
        for key in ("vv", "vh")
    }
    return _item(name, "sentinel-1-grd", told, assets)


def cdse_dem() -> dict[str, Any]:
    """Copernicus DEM of CDSE; its transform is in GDAL's order, not in that of STAC."""
    name = "Copernicus_DSM_COG_10_N61_00_E015_00_DEM"
    asset = {
        "href": f"s3://eodata/auxdata/CopDEM_COG/copernicus-dem-30m/{name}/{name}.tif",
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        "roles": ["data"],
        "proj:shape": [3600, 3600],
        "proj:transform": [14.99986, 0.000277778, 0.0, 62.000139, 0.0, -0.000277778],
        "data_type": "float32",
    }
    told = {"proj:code": "EPSG:4326", "product:type": "DGE_30-COG", "processing:version": "5.52"}
    manifest = {"href": "s3://eodata/x.xml", "type": "application/xml", "roles": ["metadata"]}
    return _item(name, "cop-dem-glo-30-dged-cog", told, {"data": asset, "manifest": manifest})


def opera(track: int = 63, burst: int = 133_417, platform: str = "S1A") -> dict[str, Any]:
    """OPERA RTC-S1 at CMR: each file at https and in its bucket; no platform, orbit, projection or media type."""
    name = f"OPERA_L2_RTC-S1_T{track:03d}-{burst:06d}-IW3_20240701T001410Z_20240701T044329Z_{platform}_30_v1.0"
    https, bucket = "https://datapool.asf.alaska.edu/RTC/OPERA-S1", f"s3://asf-cumulus-prod-opera-products/{name}"
    assets: dict[str, Any] = {"0": {"href": f"{https}/{name}.h5", "roles": ["data"]}}
    for key in ("VH", "VV", "mask"):
        assets[f"0_{key}"] = {"href": f"{https}/{name}_{key}.tif", "roles": ["data"]}
        assets[f"s3_0_{key}"] = {"href": f"{bucket}/{name}_{key}.tif", "roles": ["data"], "storage:refs": ["aws"]}
    assets["thumbnail_1"] = {"href": f"{bucket}/x.png", "roles": ["thumbnail"]}
    told = {"datetime": "2024-07-01T00:14:10.000Z", "storage:schemes": {"aws": {"type": "aws-s3"}}}
    return _item(name, "OPERA_L2_RTC-S1_V1_1", told, assets)


def planetary_computer_rtc() -> dict[str, Any]:
    """Sentinel-1 RTC of the Planetary Computer: it keeps product type and level of its GRD."""
    told = {
        "platform": "SENTINEL-1A",
        "proj:epsg": 32633,
        "sar:product_type": "GRD",
        "s1:processing_level": "1",
        "sat:orbit_state": "descending",
        "sat:relative_orbit": 139,
    }
    assets = {
        key: {
            "href": f"https://sentinel1euwestrtc.blob.core.windows.net/x/{key}.rtc.tiff",
            "raster:bands": [{"nodata": -32768, "data_type": "float32"}],
        }
        for key in ("vv", "vh")
    }
    return _item("S1A_IW_GRDH_1SDV_20240701T054150_20240701T054215_054555_06A3B1_rtc", "sentinel-1-rtc", told, assets)


def planetary_computer_dem() -> dict[str, Any]:
    """Copernicus DEM of the Planetary Computer."""
    told = {"platform": "TanDEM-X", "proj:epsg": 4326, "gsd": 30, "datetime": "2021-04-22T00:00:00Z"}
    assets = {"data": {"href": "https://elevationeuwest.blob.core.windows.net/x/dem.tif", "roles": ["data"]}}
    return _item("Copernicus_DSM_COG_10_N61_00_E015_00_DEM", "cop-dem-glo-30", told, assets)


def earth_search_collection_1() -> dict[str, Any]:
    """Collection 1 of Earth Search, in the form of STAC 1.1: `bands` in place of raster:bands."""
    keys = ("red", "green", "blue", "nir", "swir16", "scl", "cloud")
    assets = {
        key: {
            "href": f"https://e84-earth-search-sentinel-data.s3.us-west-2.amazonaws.com/sentinel-2-c1-l2a/{key}.tif",
            "bands": [{"nodata": 0, **({"raster:scale": 0.0001, "raster:offset": -0.1} if key[0] != "c" else {})}],
        }
        for key in keys
    }
    del assets["scl"]["bands"][0]["raster:offset"]
    told = {
        "platform": "sentinel-2b",
        "proj:code": "EPSG:32633",
        "processing:level": "L2A",
        "processing:version": "05.11",
        "s2:product_uri": f"S2B_MSIL2A_20240701T104031_N0511_R008_{TILE}_20240701T143919.SAFE",
        "view:sun_azimuth": 168.5,
        "view:sun_elevation": 50.25,
    }
    return _item(f"S2B_{TILE}_20240701T104031_L2A", "sentinel-2-c1-l2a", told, assets)
