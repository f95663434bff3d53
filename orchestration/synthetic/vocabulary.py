"""Words that synthetic merchants, products and people are named with. None of them names anybody real."""

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Category:
    """A category that products are in: its name, and what one such product is called."""

    name: str
    noun: str


@dataclass(frozen=True)
class Trade:
    """What one kind of merchant sells: a root category, its branches and their leaves."""

    name: str
    branches: tuple[tuple[str, tuple[Category, ...]], ...]

    @cached_property
    def leaves(self) -> tuple[Category, ...]:
        return tuple(leaf for _, leaves in self.branches for leaf in leaves)


TRADES: tuple[Trade, ...] = (
    Trade(
        "Apparel",
        (
            ("Tops", (Category("Shirts", "Shirt"), Category("Sweaters", "Sweater"), Category("Jackets", "Jacket"))),
            ("Bottoms", (Category("Trousers", "Trousers"), Category("Skirts", "Skirt"))),
            ("Footwear", (Category("Sneakers", "Sneaker"), Category("Boots", "Boot"))),
        ),
    ),
    Trade(
        "Electronics",
        (
            ("Audio", (Category("Headphones", "Headphones"), Category("Speakers", "Speaker"))),
            ("Computing", (Category("Keyboards", "Keyboard"), Category("Monitors", "Monitor"))),
            ("Home Tech", (Category("Lamps", "Smart Lamp"), Category("Sensors", "Sensor"))),
        ),
    ),
    Trade(
        "Home",
        (
            ("Kitchen", (Category("Cookware", "Pan"), Category("Tableware", "Bowl"), Category("Knives", "Knife"))),
            ("Living", (Category("Cushions", "Cushion"), Category("Rugs", "Rug"))),
            ("Garden", (Category("Planters", "Planter"), Category("Tools", "Trowel"))),
        ),
    ),
    Trade(
        "Sports",
        (
            ("Outdoor", (Category("Tents", "Tent"), Category("Backpacks", "Backpack"))),
            ("Fitness", (Category("Weights", "Kettlebell"), Category("Mats", "Mat"))),
            ("Cycling", (Category("Helmets", "Helmet"), Category("Lights", "Bike Light"))),
        ),
    ),
    Trade(
        "Stationery",
        (
            ("Paper", (Category("Notebooks", "Notebook"), Category("Cards", "Card Set"))),
            ("Writing", (Category("Pens", "Pen"), Category("Pencils", "Pencil Set"))),
            ("Desk", (Category("Trays", "Desk Tray"), Category("Calendars", "Calendar"))),
        ),
    ),
    Trade(
        "Beauty",
        (
            ("Skin", (Category("Creams", "Cream"), Category("Soaps", "Soap"))),
            ("Hair", (Category("Shampoos", "Shampoo"), Category("Brushes", "Brush"))),
            ("Bath", (Category("Towels", "Towel"), Category("Salts", "Bath Salt"))),
        ),
    ),
)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


BUSINESS_ADJECTIVES = _words(
    """
    Amber Autumn Blue Bold Bright Calm Cedar Clear Copper Coral Crimson Crystal Distant Dusty Early Eastern
    Evergreen Fair Fern Gentle Golden Grand Granite Green Harbor Hidden Indigo Iron Ivory Jade Little Lively
    Lunar Maple Mellow Merry Misty Northern Oaken Olive Open Pearl Pine Plain Quiet Rapid Red Rustic Sandy
    Scarlet Silver Simple Sunny Swift Tidal Velvet Western White Wild Winter Yellow
    """
)
BUSINESS_NOUNS = _words(
    """
    Acorn Anchor Anvil Arrow Badger Barn Beacon Birch Bison Bridge Brook Canyon Castle Cliff Clover Compass Cove
    Crane Creek Dune Eagle Falcon Feather Field Finch Forge Fox Garden Glade Grove Hare Heron Hill Island Kettle
    Lantern Lark Meadow Mill Moon Mountain Otter Owl Path Pebble Pilot Prairie Quail Raven Reef River Robin Sail
    Shore Sparrow Spring Stone Summit Thistle Tower Valley Willow Wren
    """
)
BUSINESS_KINDS = ("Goods", "Outfitters", "Supply", "Trading", "Market", "Works", "House", "Store")

PRODUCT_ADJECTIVES = _words(
    """
    Classic Compact Daily Deluxe Essential Everyday Heritage Light Modern Original Prime Pure Signature Slim
    Soft Studio Sturdy Travel Urban Vintage
    """
)
COLORS = ("black", "white", "blue", "green", "red", "sand", "grey", "navy")
SIZES = ("S", "M", "L", "XL")

FIRST_NAMES = _words(
    """
    Ada Alan Alma Anton Ben Bianca Carla Carlos Chen Clara Daniel Diego Elena Emil Emma Farid Finn Grace Hana
    Hugo Ines Ivan Jana Jonas Julia Kai Karim Lara Leo Lina Lucas Maria Mateo Maya Mei Mila Nadia Nils Nina Noah
    Olga Omar Paula Pedro Priya Rafael Ravi Rosa Sara Sofia Sven Tara Theo Tomas Uma Vera Viktor Yara Yuki Zoe
    """
)
LAST_NAMES = _words(
    """
    Abbott Alvarez Andersen Baker Bauer Becker Bianchi Brown Carter Castro Chandra Clarke Costa Dubois Eriksen
    Evans Fischer Flores Fontaine Garcia Gray Gupta Hansen Hayashi Hoffman Ibarra Ito Jansen Jensen Kato Keller
    Kim Kowalski Lambert Larsen Lee Lopez Martin Mehta Meyer Moreau Mori Murphy Nakamura Novak Olsen Park Patel
    Pereira Petit Quinn Reyes Ricci Rossi Sato Schmidt Silva Singh Smith Tanaka Torres Vogel Walsh Weber Wilson
    Yamada Young Zhang
    """
)
STREETS = ("Cedar Street", "Harbour Road", "Mill Lane", "Park Avenue", "Station Road", "Sunset Drive", "Willow Way")
PROJECT_NAMES = ("Storefront", "Mobile App", "Loyalty Programme", "Newsletter", "Wholesale Portal", "Gift Cards")
