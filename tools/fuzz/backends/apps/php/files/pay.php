<?php
// A script that stands for itself.
require __DIR__ . '/../reading.php';

if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    foreach (contract() as $route) {
        if ($route['name'] === 'script') {
            report_all($route, []);
        }
    }
}
