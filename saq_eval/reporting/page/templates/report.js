// What ties the page's parts together: Plotly draws, DataTables sorts and filters, this hands them their data.
"use strict";
(() => {
  if (!("DecompressionStream" in window)) return; // a browser from before 2023 gets the tables alone

  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const json = (id) => JSON.parse(byId(id).textContent);
  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const fill = (select, texts) => select.replaceChildren(...texts.map((text, place) => new Option(text, place)));

  // Libraries, charts and pictures stand in the page as gzip in base64.
  const unpack = async (id) => {
    const bytes = Uint8Array.from(atob(byId(id).textContent), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };
  const codeUrl = async (id) => URL.createObjectURL(new Blob([await unpack(id)], { type: "text/javascript" }));

  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => root.dataset.theme ?? (prefersDark.matches ? "dark" : "light");

  function setUpTheme() {
    const show = () => {
      root.classList.toggle("dark", theme() === "dark"); // DataTables reads the class
      byId("theme").setAttribute("aria-pressed", theme() === "dark");
    };
    byId("theme").addEventListener("click", () => {
      root.dataset.theme = theme() === "dark" ? "light" : "dark";
      show();
      root.dispatchEvent(new Event("theme"));
    });
    prefersDark.addEventListener("change", () => {
      show();
      root.dispatchEvent(new Event("theme"));
    });
    show();
  }

  async function setUpCharts() {
    const url = await codeUrl("plotly");
    await new Promise((resolve, reject) => {
      document.head.append(element("script", { src: url, onload: resolve, onerror: reject }));
    });
    const templates = json("themes");
    const fingers = matchMedia("(pointer: coarse)").matches; // a finger that drags wants to scroll the page
    // The buttons are named one by one, for Plotly's own choice has one that sends the chart away.
    const buttons = ["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "autoScale2d", "resetScale2d"];
    const config = { responsive: true, displaylogo: false, plotlyServerURL: "", modeBarButtons: [buttons] };
    const plots = [...document.querySelectorAll(".plot")];
    for (const plot of plots) {
      const { data, layout, menus } = JSON.parse(new TextDecoder().decode(await unpack(plot.dataset.figure)));
      const look = { ...layout, template: templates[theme()], ...(fingers && { dragmode: false }) };
      if (plot.clientWidth < 500) look.height += 120; // the legend takes more lines
      await Plotly.newPlot(plot, data, look, {
        ...config,
        toImageButtonOptions: { format: "svg", filename: plot.dataset.figure },
      });
      if (menus.length) setUpMenu(byId(plot.dataset.menu), menus[0].buttons, (view) => Plotly.update(plot, ...view.args));
    }
    const paint = (name) => {
      for (const plot of plots) Plotly.relayout(plot, { template: templates[name] });
    };
    root.addEventListener("theme", () => paint(theme()));
    addEventListener("beforeprint", () => paint("light"));
    addEventListener("afterprint", () => paint(theme()));
  }

  // Plotly's own menu is drawn, out of the keyboard's reach; the page's is a list of the same views.
  function setUpMenu(select, views, show) {
    const groups = new Map();
    views.forEach((view, place) => {
      if (!groups.has(view.name)) groups.set(view.name, view.name ? element("optgroup", { label: view.name }) : select);
      const text = element("textarea", { innerHTML: view.label }).value; // labels are escaped for Plotly
      groups.get(view.name).append(new Option(text, place));
    });
    select.append(...[...groups.values()].filter((group) => group !== select));
    select.addEventListener("change", () => show(views[select.value]));
  }

  async function setUpTables() {
    document.head.append(element("style", { textContent: new TextDecoder().decode(await unpack("datatables-style")) }));
    const { jQuery } = await import(await codeUrl("datatables"));
    const enhance = (table) => {
      if (jQuery.fn.dataTable.isDataTable(table)) return;
      const rows = table.tBodies[0].rows.length;
      const frame = table.parentElement;
      const csv = { extend: "csv", text: "CSV", filename: table.dataset.file, escapeExcelFormula: true, footer: false };
      const live = jQuery(table).DataTable({
        autoWidth: false,
        order: [],
        pageLength: 25,
        language: { search: "Filter _INPUT_", info: "_START_ to _END_ of _TOTAL_ rows" },
        layout: {
          topStart: rows > 5 ? "search" : null,
          topEnd: { buttons: [csv] },
          bottomStart: rows > 25 ? "info" : null,
          bottomEnd: rows > 25 ? { paging: { buttons: 5, firstLast: false } } : null,
        },
        paging: rows > 25,
      });
      if (!table.closest("details")) {
        addEventListener("beforeprint", () => live.page.len(-1).draw());
        addEventListener("afterprint", () => live.page.len(25).draw());
      }
      // The table scrolls now, no longer its frame: what tells so goes with it.
      const scrolled = table.closest(".dt-layout-table");
      for (const name of ["tabindex", "role", "aria-label"]) {
        scrolled.setAttribute(name, frame.getAttribute(name));
        frame.removeAttribute(name);
      }
      const pages = live.table().container().querySelector("nav");
      pages?.setAttribute("aria-label", `Pages: ${scrolled.getAttribute("aria-label")}`);
    };
    for (const table of document.querySelectorAll("table.data")) {
      const folded = table.closest("details");
      if (!folded || folded.open) enhance(table);
      else folded.addEventListener("toggle", () => enhance(table), { once: true });
    }
  }

  async function setUpGallery() {
    if (!byId("viewer")) return;
    const galleries = json("galleries");
    const colours = json("colours").map((colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)));
    const pictures = await Promise.all(galleries.map((_, place) => unpack(`pictures-${place}`)));
    const [dataset, group, method, images] = ["dataset", "group", "method", "images"].map((id) => byId(`gallery-${id}`));
    let gallery, bytes;

    // Draw h x w pixels, each as its colour.
    const draw = (label, colourOf) => {
      const [, , height, width] = gallery.shape;
      const canvas = element("canvas", { width, height, role: "img", ariaLabel: label });
      const context = canvas.getContext("2d");
      const drawn = context.createImageData(width, height);
      for (let pixel = 0; pixel < width * height; pixel++) drawn.data.set([...colourOf(pixel), 255], 4 * pixel);
      context.putImageData(drawn, 0, 0);
      return canvas;
    };
    const breakable = (name) => name.replace(/[_:=,]/g, "$&\u200b"); // a narrow column breaks names at their joints
    const className = (label) => gallery.classes[label] ?? `class ${label}`;
    const fileOf = (place) => gallery.files[place] ?? `no. ${gallery.indices[place]}`;
    const nameOf = (place) => `${className(gallery.labels[place])}, ${fileOf(place)}`;
    const drawImage = (place) => {
      const [, channels, height, width] = gallery.shape;
      const start = place * channels * height * width;
      const plane = (channel, pixel) => bytes[start + Math.min(channel, channels - 1) * height * width + pixel];
      return draw(nameOf(place), (pixel) => [plane(0, pixel), plane(1, pixel), plane(2, pixel)]);
    };
    const drawMap = (place, map, label) => {
      const [count, channels, height, width] = gallery.shape;
      const start = (count * channels + map * count + place) * height * width;
      const values = bytes.subarray(start, start + height * width);
      if (!values.some((value) => value)) return element("span", { className: "empty", textContent: "constant" });
      return draw(label, (pixel) => colours[values[pixel]]);
    };

    const showMaps = (place) => {
      const head = element("tr", {}, element("th", { scope: "col" }, drawImage(place), element("bdi", { textContent: nameOf(place) })));
      const maps = new Map(gallery.maps.map((key, map) => [key.join(), map]));
      const methods = gallery.methods.map((name, at) => [name, at]).filter(([, at]) => method.value === "" || +method.value === at);
      for (const model of gallery.models) {
        const predicted = model.predictions?.[place];
        const right = predicted === gallery.labels[place];
        const says = predicted === undefined ? "" : `${right ? "✓" : "✗"} ${className(predicted)}`;
        head.append(
          element("th", { scope: "col" }, element("bdi", { textContent: model.name }),
            element("small", { textContent: says, className: right ? "" : "wrong" })),
        );
      }
      const rows = methods.map(([name, at]) => {
        const row = element("tr", {}, element("th", { scope: "row" }, element("bdi", { textContent: breakable(name) })));
        gallery.models.forEach((model, column) => {
          const map = maps.get(`${column},${at}`);
          if (map === undefined) return row.append(element("td", { textContent: "–" }));
          const ssim = gallery.ssim[map]?.[place] ?? null;
          const told = model.baseline ? "baseline" : ssim === null ? "–" : ssim.toFixed(2);
          const label = `${name} map of ${model.name}, SSIM ${told}`;
          row.append(element("td", {}, drawMap(place, map, label), element("small", { textContent: told })));
        });
        return row;
      });
      byId("gallery-maps").classList.toggle("large", rows.length === 1);
      byId("gallery-maps").replaceChildren(element("thead", {}, head), element("tbody", {}, ...rows));
      byId("gallery-status").textContent = `${nameOf(place)}: ${rows.length * gallery.models.length} maps shown.`;
    };
    const showGroup = () => {
      const places = gallery.groups[group.value]?.[1] ?? [];
      images.replaceChildren(
        ...places.map((place, at) => {
          const radio = element("input", { type: "radio", name: "image", value: place, checked: at === 0 });
          radio.addEventListener("change", () => showMaps(place));
          const label = element("label", {}, radio, drawImage(place), element("bdi", { textContent: nameOf(place) }));
          return label;
        }),
      );
      if (places.length) showMaps(places[0]);
    };
    const showDataset = () => {
      [gallery, bytes] = [galleries[dataset.value], pictures[dataset.value]];
      fill(group, gallery.groups.map(([name, places]) => `${name} (${places.length})`));
      method.replaceChildren(new Option("all methods", ""), ...gallery.methods.map((name, at) => new Option(name, at)));
      showGroup();
    };
    fill(dataset, galleries.map((each) => each.dataset));
    dataset.addEventListener("change", showDataset);
    group.addEventListener("change", showGroup);
    method.addEventListener("change", () => showMaps(+images.querySelector(":checked").value));
    showDataset();
  }

  root.classList.add("script");
  setUpTheme();
  addEventListener("beforeprint", () => document.querySelectorAll("#method details").forEach((part) => (part.open = true)));
  Promise.all([setUpGallery(), setUpCharts(), setUpTables()]).then(() => (root.dataset.ready = "yes"));
})();
