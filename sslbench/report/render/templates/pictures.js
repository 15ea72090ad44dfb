"use strict";
// Maps: the picture under the pointer, ringed on all maps of its dataset; classes shown alone; arrow keys step through.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const tip = document.createElement("div");
  tip.className = "map-tip";
  tip.hidden = true;
  const picture = document.createElement("span"), words = document.createElement("span");
  tip.append(picture, words);
  for (const figure of document.querySelectorAll("figure.maps")) {
    if (!tip.isConnected) document.body.append(tip);
    const marks = figure.dataset.marks.split(",").map((mark) => mark.split(" "));
    const names = [...figure.querySelectorAll(".legend li span")].map((name) => name.textContent);
    const said = document.createElement("p");
    said.className = "told";
    said.setAttribute("role", "status");
    figure.append(said);
    // The paths hold the points class by class, in the order of the marks.
    const drawn = [...figure.querySelectorAll("svg.map")].map((svg) => {
      const points = [];
      svg.querySelectorAll("path").forEach((path, type) => {
        for (const [, x, y] of path.getAttribute("d").matchAll(/M(\d+) (\d+)/g)) points.push({ x: +x, y: +y, type });
      });
      const ring = document.createElementNS(SVG, "circle");
      ring.setAttribute("class", "ring");
      ring.setAttribute("r", "26");
      ring.setAttribute("visibility", "hidden");
      svg.append(ring);
      return { svg, points, ring };
    });
    let chosen = null;
    const hide = () => {
      tip.hidden = true;
      for (const { ring } of drawn) ring.setAttribute("visibility", "hidden");
    };
    const show = (map, index) => {
      for (const { points, ring } of drawn) {
        ring.setAttribute("cx", points[index].x);
        ring.setAttribute("cy", points[index].y);
        ring.setAttribute("visibility", "visible");
      }
      const [sheet, x, y] = marks[index], { x: left, y: top, type } = map.points[index];
      picture.className = `tile s${sheet}`;
      picture.style.setProperty("--x", x);
      picture.style.setProperty("--y", y);
      words.textContent = names[type];
      tip.hidden = false;
      const box = map.svg.getBoundingClientRect(), own = tip.getBoundingClientRect(), scale = box.width / 1000;
      const across = box.left + left * scale + 14;
      const beside = across + own.width > document.documentElement.clientWidth - 8 ? across - own.width - 28 : across;
      tip.style.left = `${scrollX + Math.max(4, beside)}px`;
      tip.style.top = `${scrollY + Math.max(4 - scrollY, box.top + top * scale - own.height / 2)}px`;
    };
    const seen = (index, map) => chosen === null || map.points[index].type === chosen;
    for (const map of drawn) {
      const { svg, points } = map;
      svg.setAttribute("tabindex", "0");
      svg.addEventListener("pointermove", (event) => {
        const box = svg.getBoundingClientRect(), scale = 1000 / box.width;
        const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
        let nearest = -1, least = (16 * scale) ** 2;
        points.forEach((point, index) => {
          const far = (point.x - x) ** 2 + (point.y - y) ** 2;
          if (far < least && seen(index, map)) [nearest, least] = [index, far];
        });
        if (nearest < 0) hide();
        else show(map, nearest);
      });
      svg.addEventListener("pointerleave", hide);
      svg.addEventListener("blur", hide);
      let at = -1;
      svg.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (event.key === "Escape") hide();
        if (!step) return;
        event.preventDefault();
        do at = (at + step + points.length) % points.length; while (!seen(at, map));
        show(map, at);
        said.textContent = `${names[points[at].type]}, picture ${at + 1} of ${points.length}`;
      });
    }
    const buttons = [...figure.querySelectorAll(".legend li")].map((item) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "false");
      button.append(...item.childNodes);
      item.append(button);
      return button;
    });
    buttons.forEach((button, type) => button.addEventListener("click", () => {
      chosen = chosen === type ? null : type;
      hide();
      figure.classList.toggle("chosen", chosen !== null);
      buttons.forEach((other, index) => other.setAttribute("aria-pressed", String(index === chosen)));
      for (const { svg } of drawn) svg.querySelectorAll("path").forEach((path, index) => path.classList.toggle("kept", index === chosen));
    }));
  }
})();
