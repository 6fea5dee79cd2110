"""Words of the QGIS project, in the languages of `lsbatch.inventory.aliases`."""

from collections.abc import Mapping

from lsbatch.inventory import aliases

_WORDS: Mapping[str, tuple[str, str, str, str, str]] = {
    # groups of layers, and map themes
    "group landslides": ("Landslides", "Glissements de terrain", "Rutschungen", "Deslizamientos", "Skred"),
    "group evidence": ("Evidence", "Indices", "Hinweise", "Indicios", "Grunnlag"),
    "group observation": ("Observed ground", "Terrain observé", "Beobachtetes Gelände", "Terreno observado",
                          "Observert terreng"),
    "group images": ("Images", "Images", "Bilder", "Imágenes", "Bilder"),
    # layers
    "landslides": ("Landslides", "Glissements de terrain", "Rutschungen", "Deslizamientos", "Skred"),
    "kept": ("Landslides of earlier years", "Glissements des années précédentes", "Rutschungen früherer Jahre",
             "Deslizamientos de años anteriores", "Skred fra tidligere år"),
    "areas": ("Statistics by area", "Statistiques par zone", "Statistik nach Gebiet", "Estadísticas por área",
              "Statistikk etter område"),
    "probability": ("Probability of a landslide", "Probabilité de glissement", "Wahrscheinlichkeit einer Rutschung",
                    "Probabilidad de deslizamiento", "Sannsynlighet for skred"),
    "mask": ("Landslide pixels", "Pixels de glissement", "Rutschungspixel", "Píxeles de deslizamiento",
             "Skredpiksler"),
    "date": ("Date of the image after", "Date de l'image après", "Datum des Bildes danach",
             "Fecha de la imagen posterior", "Dato for bildet etter"),
    "observed": ("Sensors", "Capteurs", "Sensoren", "Sensores", "Sensorer"),
    "applicability": ("Unlike the training", "Différent de l'apprentissage", "Unähnlich dem Training",
                      "Distinto del entrenamiento", "Ulik treningen"),
    "true_colour_before": ("True colour before", "Couleurs naturelles avant", "Echtfarben davor",
                           "Color natural antes", "Naturlige farger før"),
    "true_colour_after": ("True colour after", "Couleurs naturelles après", "Echtfarben danach",
                          "Color natural después", "Naturlige farger etter"),
    "radar_change": ("Radar change VV", "Variation radar VV", "Radaränderung VV", "Cambio de radar VV",
                     "Radarendring VV"),
    # styles of the landslides
    "style confidence": ("by confidence", "par confiance", "nach Sicherheit", "por confianza", "etter sikkerhet"),
    "style status": ("by change since last year", "par évolution", "nach Änderung", "por cambio", "etter endring"),
    "style review": ("by review", "par contrôle", "nach Prüfung", "por revisión", "etter kontroll"),
    "style date": ("by latest date", "par date au plus tard", "nach spätestem Datum", "por fecha más tardía",
                   "etter seneste dato"),
    # classes
    "high": ("high confidence", "confiance élevée", "hohe Sicherheit", "confianza alta", "høy sikkerhet"),
    "medium": ("medium confidence", "confiance moyenne", "mittlere Sicherheit", "confianza media",
               "middels sikkerhet"),
    "low": ("low confidence", "confiance faible", "geringe Sicherheit", "confianza baja", "lav sikkerhet"),
    "new": ("new", "nouveau", "neu", "nuevo", "nytt"),
    "persisting": ("persisting", "persistant", "fortbestehend", "persistente", "vedvarende"),
    "enlarged": ("enlarged", "agrandi", "vergrößert", "ampliado", "utvidet"),
    "reactivated": ("reactivated", "réactivé", "reaktiviert", "reactivado", "reaktivert"),
    "gone": ("gone", "disparu", "verschwunden", "desaparecido", "borte"),
    "unreviewed": ("not reviewed", "non contrôlé", "nicht geprüft", "sin revisar", "ikke kontrollert"),
    "confirmed": ("confirmed", "confirmé", "bestätigt", "confirmado", "bekreftet"),
    "rejected": ("rejected", "rejeté", "verworfen", "rechazado", "avvist"),
    "other": ("other", "autre", "andere", "otro", "annet"),
    "until": ("until {}", "jusqu'au {}", "bis {}", "hasta {}", "til {}"),
    "landslide": ("landslide", "glissement", "Rutschung", "deslizamiento", "skred"),
    "outside": ("unlike the training", "différent de l'apprentissage", "unähnlich dem Training",
                "distinto del entrenamiento", "ulik treningen"),
    "both": ("Sentinel-1 and Sentinel-2", "Sentinel-1 et Sentinel-2", "Sentinel-1 und Sentinel-2",
             "Sentinel-1 y Sentinel-2", "Sentinel-1 og Sentinel-2"),
    "optical": ("Sentinel-2 only", "Sentinel-2 seulement", "nur Sentinel-2", "solo Sentinel-2", "bare Sentinel-2"),
    "radar": ("Sentinel-1 only", "Sentinel-1 seulement", "nur Sentinel-1", "solo Sentinel-1", "bare Sentinel-1"),
    "neither": ("not observed", "non observé", "nicht beobachtet", "no observado", "ikke observert"),
    "water": ("water before", "eau avant", "Wasser davor", "agua antes", "vann før"),
    # texts of the project
    "title": ("Landslides, survey {}, {}", "Glissements de terrain, campagne {}, {}", "Rutschungen, Erhebung {}, {}",
              "Deslizamientos, campaña {}, {}", "Skred, kartlegging {}, {}"),
    "attribution": (
        "Contains modified Copernicus Sentinel data {}", "Contient des données Copernicus Sentinel modifiées {}",
        "Enthält veränderte Copernicus-Sentinel-Daten {}", "Contiene datos modificados de Copernicus Sentinel {}",
        "Inneholder modifiserte Copernicus Sentinel-data {}"
    ),
}  # fmt: skip


def word(name: str, language: str) -> str:
    """Return a word in a language."""
    return _WORDS[name][aliases.LANGUAGES.index(language)]
