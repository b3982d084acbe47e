"""The tools that the demos offer: each works offline, and none is on unless it is asked for."""

from datetime import datetime
from zoneinfo import ZoneInfo, available_timezones

from glm4_intel.agent import Tool, tool
from glm4_intel.agent.python_tool import python_tool

_CHINESE = {
    "北京": "Shanghai", "上海": "Shanghai", "香港": "Hong Kong", "台北": "Taipei",
    "东京": "Tokyo", "首尔": "Seoul", "新加坡": "Singapore", "伦敦": "London",
    "巴黎": "Paris", "柏林": "Berlin", "罗马": "Rome", "马德里": "Madrid",
    "莫斯科": "Moscow", "开罗": "Cairo", "纽约": "New York", "芝加哥": "Chicago",
    "悉尼": "Sydney", "奥斯陆": "Oslo", "利马": "Lima", "雅典": "Athens",
    "维也纳": "Vienna",
}  # fmt: skip
_OTHER_NAMES = {"beijing": "Shanghai", "san francisco": "Los Angeles", "washington": "New York", "mumbai": "Kolkata"}


def get_time(city: str) -> dict[str, str]:
    """Get the local time of a city

    city: The city
    """
    wanted = _CHINESE.get(city.strip(), _OTHER_NAMES.get(city.strip().casefold(), city))
    name = wanted.strip().replace(" ", "_").casefold()
    for zone in sorted(available_timezones()):
        if "/" in zone and zone.rpartition("/")[2].casefold() == name:
            return {"time": datetime.now(ZoneInfo(zone)).strftime("%H:%M")}
    raise ValueError(f"no time zone is known for {city}")


TOOLS: dict[str, Tool] = {"get_time": tool(get_time), "python": python_tool()}
