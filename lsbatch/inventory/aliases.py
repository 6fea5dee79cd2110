"""Names of the fields for a reader, in five languages. Field names in the files stay the same in all of them."""

from collections.abc import Mapping

from lsbatch.inventory.schema import CONFOUNDER, Field

#: The languages of the setting `inventory.language`, in the order of the texts below.
LANGUAGES = ("en", "fr", "de", "es", "nb")

#: Names of the fields of landslides and areas. The unit is added to them.
FIELDS: Mapping[str, tuple[str, str, str, str, str]] = {
    "landslide_id": (
        "Landslide", "Glissement de terrain", "Rutschung", "Deslizamiento", "Skred"
    ),
    "survey_id": (
        "Survey", "Campagne", "Erhebung", "Campaña", "Kartlegging"
    ),
    "version": (
        "Version of the record", "Version de l'enregistrement", "Version des Datensatzes", "Versión del registro",
        "Versjon av posten"
    ),
    "status": (
        "Change since last year", "Évolution depuis l'an dernier", "Änderung seit dem Vorjahr",
        "Cambio desde el año anterior", "Endring siden i fjor"
    ),
    "observation": (
        "Observation", "Observation", "Beobachtung", "Observación", "Observasjon"
    ),
    "parent_ids": (
        "Former landslides", "Glissements d'origine", "Frühere Rutschungen", "Deslizamientos anteriores",
        "Tidligere skred"
    ),
    "date_earliest": (
        "Earliest date", "Date au plus tôt", "Frühestes Datum", "Fecha más temprana", "Tidligste dato"
    ),
    "date_latest": (
        "Latest date", "Date au plus tard", "Spätestes Datum", "Fecha más tardía", "Seneste dato"
    ),
    "date_method": (
        "Source of the dates", "Source des dates", "Quelle der Daten", "Origen de las fechas", "Kilde til datoene"
    ),
    "date_confidence": (
        "Probability of the dates", "Probabilité des dates", "Wahrscheinlichkeit der Daten",
        "Probabilidad de las fechas", "Sannsynlighet for datoene"
    ),
    "area_m2": (
        "Area", "Surface", "Fläche", "Superficie", "Areal"
    ),
    "perimeter_m": (
        "Perimeter", "Périmètre", "Umfang", "Perímetro", "Omkrets"
    ),
    "length_m": (
        "Length", "Longueur", "Länge", "Longitud", "Lengde"
    ),
    "width_m": (
        "Mean width", "Largeur moyenne", "Mittlere Breite", "Ancho medio", "Middelbredde"
    ),
    "source_x": (
        "Source, easting", "Départ, est", "Anriss, Ostwert", "Cabecera, este", "Løsneområde, øst"
    ),
    "source_y": (
        "Source, northing", "Départ, nord", "Anriss, Nordwert", "Cabecera, norte", "Løsneområde, nord"
    ),
    "toe_x": (
        "Toe, easting", "Pied, est", "Fuß, Ostwert", "Pie, este", "Utløp, øst"
    ),
    "toe_y": (
        "Toe, northing", "Pied, nord", "Fuß, Nordwert", "Pie, norte", "Utløp, nord"
    ),
    "outline": (
        "Outline", "Contour", "Umriss", "Contorno", "Omriss"
    ),
    "elevation_min_m": (
        "Lowest elevation", "Altitude minimale", "Tiefste Höhe", "Elevación mínima", "Laveste høyde"
    ),
    "elevation_max_m": (
        "Highest elevation", "Altitude maximale", "Größte Höhe", "Elevación máxima", "Største høyde"
    ),
    "relief_m": (
        "Height difference", "Dénivelé", "Höhenunterschied", "Desnivel", "Høydeforskjell"
    ),
    "slope_mean_deg": (
        "Mean slope", "Pente moyenne", "Mittlere Neigung", "Pendiente media", "Gjennomsnittlig helning"
    ),
    "slope_max_deg": (
        "Steepest slope", "Pente maximale", "Größte Neigung", "Pendiente máxima", "Største helning"
    ),
    "aspect_mean_deg": (
        "Mean aspect", "Exposition moyenne", "Mittlere Exposition", "Orientación media", "Gjennomsnittlig himmelretning"
    ),
    "split_elevation_m": (
        "Elevation of the break of slope", "Altitude de la rupture de pente", "Höhe des Gefällsknicks",
        "Elevación de la ruptura de pendiente", "Høyde av helningsbruddet"
    ),
    "source_share": (
        "Share above the break", "Part au-dessus de la rupture", "Anteil über dem Gefällsknick",
        "Proporción sobre la ruptura", "Andel over helningsbruddet"
    ),
    "source_slope_deg": (
        "Slope above the break", "Pente au-dessus de la rupture", "Neigung über dem Gefällsknick",
        "Pendiente sobre la ruptura", "Helning over helningsbruddet"
    ),
    "transport_slope_deg": (
        "Slope below the break", "Pente sous la rupture", "Neigung unter dem Gefällsknick",
        "Pendiente bajo la ruptura", "Helning under helningsbruddet"
    ),
    "travel_angle_deg": (
        "Travel angle", "Angle de parcours", "Pauschalgefälle", "Ángulo de alcance", "Siktevinkel"
    ),
    "probability_mean": (
        "Mean probability", "Probabilité moyenne", "Mittlere Wahrscheinlichkeit", "Probabilidad media",
        "Gjennomsnittlig sannsynlighet"
    ),
    "probability_p10": (
        "Probability, 10th percentile", "Probabilité, 10e centile", "Wahrscheinlichkeit, 10. Perzentil",
        "Probabilidad, percentil 10", "Sannsynlighet, 10-persentil"
    ),
    "probability_p90": (
        "Probability, 90th percentile", "Probabilité, 90e centile", "Wahrscheinlichkeit, 90. Perzentil",
        "Probabilidad, percentil 90", "Sannsynlighet, 90-persentil"
    ),
    "probability_max": (
        "Highest probability", "Probabilité maximale", "Höchste Wahrscheinlichkeit", "Probabilidad máxima",
        "Største sannsynlighet"
    ),
    "confidence": (
        "Confidence", "Confiance", "Sicherheit", "Confianza", "Sikkerhet"
    ),
    "models_agree": (
        "Other inventories that agree", "Autres inventaires concordants", "Übereinstimmende Inventare",
        "Otros inventarios que coinciden", "Andre kartlegginger som stemmer"
    ),
    "dndvi_mean": (
        "Change of NDVI", "Variation du NDVI", "Änderung des NDVI", "Cambio de NDVI", "Endring i NDVI"
    ),
    "dvv_mean_db": (
        "Radar change VV", "Variation radar VV", "Radaränderung VV", "Cambio de radar VV", "Radarendring VV"
    ),
    "dvh_mean_db": (
        "Radar change VH", "Variation radar VH", "Radaränderung VH", "Cambio de radar VH", "Radarendring VH"
    ),
    "dvv_ascending_db": (
        "Radar change VV, ascending", "Variation radar VV, ascendant", "Radaränderung VV, aufsteigend",
        "Cambio de radar VV, ascendente", "Radarendring VV, stigende"
    ),
    "dvv_descending_db": (
        "Radar change VV, descending", "Variation radar VV, descendant", "Radaränderung VV, absteigend",
        "Cambio de radar VV, descendente", "Radarendring VV, synkende"
    ),
    "optical_share": (
        "Share observed by Sentinel-2", "Part observée par Sentinel-2", "Von Sentinel-2 beobachteter Anteil",
        "Proporción observada por Sentinel-2", "Andel observert av Sentinel-2"
    ),
    "radar_share": (
        "Share observed by Sentinel-1", "Part observée par Sentinel-1", "Von Sentinel-1 beobachteter Anteil",
        "Proporción observada por Sentinel-1", "Andel observert av Sentinel-1"
    ),
    "ascending_share": (
        "Share observed, ascending", "Part observée, ascendant", "Beobachteter Anteil, aufsteigend",
        "Proporción observada, ascendente", "Andel observert, stigende"
    ),
    "descending_share": (
        "Share observed, descending", "Part observée, descendant", "Beobachteter Anteil, absteigend",
        "Proporción observada, descendente", "Andel observert, synkende"
    ),
    "radar_hidden_share": (
        "Share observed in one direction only", "Part observée dans une seule direction",
        "Nur aus einer Richtung beobachteter Anteil", "Proporción observada en una sola dirección",
        "Andel observert i bare én retning"
    ),
    "terrain_shade_share": (
        "Share in terrain shadow", "Part dans l'ombre du relief", "Anteil im Geländeschatten",
        "Proporción en sombra del relieve", "Andel i terrengskygge"
    ),
    "unobserved_edge_px": (
        "Pixels beside unobserved ground", "Pixels au bord du terrain non observé",
        "Pixel neben nicht beobachtetem Gelände", "Píxeles junto a terreno no observado",
        "Piksler ved uobservert terreng"
    ),
    "outside_share": (
        "Share unlike the training", "Part différente de l'apprentissage", "Anteil unähnlich dem Training",
        "Proporción distinta del entrenamiento", "Andel ulik treningen"
    ),
    "review_state": (
        "Review", "Contrôle", "Prüfung", "Revisión", "Kontroll"
    ),
    "reviewer": (
        "Reviewer", "Contrôlé par", "Geprüft von", "Revisado por", "Kontrollert av"
    ),
    "comment": (
        "Comment", "Commentaire", "Kommentar", "Comentario", "Merknad"
    ),
    "reviewed_version": (
        "Version that was reviewed", "Version contrôlée", "Geprüfte Version", "Versión revisada", "Kontrollert versjon"
    ),
    "tiles": (
        "Tiles", "Tuiles", "Kacheln", "Teselas", "Fliser"
    ),
    "model": (
        "Model", "Modèle", "Modell", "Modelo", "Modell"
    ),
    "weights": (
        "Checksum of the weights", "Somme de contrôle des poids", "Prüfsumme der Gewichte",
        "Suma de verificación de los pesos", "Kontrollsum for vektene"
    ),
    "settings": (
        "Digest of the settings", "Empreinte des réglages", "Prüfsumme der Einstellungen",
        "Huella de los ajustes", "Kontrollsum for innstillingene"
    ),
    "software": (
        "Software", "Logiciel", "Software", "Programa", "Programvare"
    ),
    "area": (
        "Area name", "Nom de la zone", "Name des Gebiets", "Nombre del área", "Navn på området"
    ),
    "surveyed_km2": (
        "Surveyed area", "Surface observée", "Beobachtete Fläche", "Superficie observada", "Observert areal"
    ),
    "landslides": (
        "Landslides", "Glissements de terrain", "Rutschungen", "Deslizamientos", "Skred"
    ),
    "landslide_area_m2": (
        "Area of landslides", "Surface des glissements", "Fläche der Rutschungen", "Superficie de deslizamientos",
        "Skredareal"
    ),
    "largest_m2": (
        "Largest landslide", "Plus grand glissement", "Größte Rutschung", "Mayor deslizamiento", "Største skred"
    ),
    "landslide_share": (
        "Share of landslides", "Part des glissements", "Anteil der Rutschungen", "Proporción de deslizamientos",
        "Andel skred"
    ),
    "landslides_per_1000_km2": (
        "Landslides on 1000 km²", "Glissements sur 1000 km²", "Rutschungen auf 1000 km²",
        "Deslizamientos en 1000 km²", "Skred på 1000 km²"
    ),
}  # fmt: skip

#: Name of the field of a layer of confounders.
ON_LAYER = ("Share on {}", "Part sur {}", "Anteil auf {}", "Proporción en {}", "Andel på {}")
#: Units as they are printed; others are printed as they are.
UNITS: Mapping[str, str] = {"m2": "m²", "km2": "km²", "degree": "°", "1": "", "1/1000 km2": ""}


def unit(field: Field) -> str:
    """Return the unit of a field as it is printed."""
    return UNITS.get(field.unit, field.unit)


def title(field: Field, language: str) -> str:
    """Return the name of a field for a reader, with its unit."""
    place = LANGUAGES.index(language)
    if field.name in FIELDS:
        text = FIELDS[field.name][place]
    else:
        before, after = CONFOUNDER.split("{}")
        text = ON_LAYER[place].format(field.name.removeprefix(before).removesuffix(after))
    return f"{text} ({unit(field)})" if unit(field) else text
