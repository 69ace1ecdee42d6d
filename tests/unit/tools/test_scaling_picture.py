import xml.etree.ElementTree as ET

from marketdata_tools.scaling_picture import Sample, draw

SVG = "{http://www.w3.org/2000/svg}"
RUN = [Sample(5, 0, 0, 50_000), Sample(10, 2, 1, None), Sample(20, 4, 4, 0)]


def test_a_run_is_drawn_from_its_first_sample_to_its_last() -> None:
    picture = ET.fromstring(draw(RUN, "A & B"))

    texts = [each.text for each in picture.iter(f"{SVG}text")]
    assert "A & B" in texts
    assert {"0 s", "15 s", "50,000", "4"} <= set(texts)
    (lag,) = picture.iter(f"{SVG}polyline")
    assert len((lag.get("points") or "").split()) == 2, "a lag that was not known is no point"
    first, last = ((lag.get("points") or "").split()[i].split(",") for i in (0, -1))
    assert float(first[0]) < float(last[0])
    assert float(first[1]) < float(last[1]), "the lag went down, which is greater y"
