<?php
// An application of Laravel as docs/how-to/backends/laravel.md has it; FOLDER is the environment's.
require '/usr/share/php/Illuminate/autoload.php';

use Illuminate\Foundation\Application;
use Illuminate\Foundation\Exceptions\Handler;
use Illuminate\Foundation\Http\Kernel;
use Illuminate\Foundation\Http\Middleware\ConvertEmptyStringsToNull;
use Illuminate\Foundation\Http\Middleware\TrimStrings;
use Illuminate\Http\JsonResponse;
use Illuminate\Http\Request;
use Illuminate\Support\Facades\Route;

class ClinicKernel extends Kernel
{
    protected $middleware = [TrimStrings::class, ConvertEmptyStringsToNull::class];
    protected $bootstrappers = [
        Illuminate\Foundation\Bootstrap\RegisterFacades::class,
        Illuminate\Foundation\Bootstrap\BootProviders::class,
    ];
}

class JsonHandler extends Handler
{
    protected function shouldReturnJson($request, Throwable $e)
    {
        return true;
    }
}

$_SERVER['SCRIPT_NAME'] = '/index.php';  // as where the server of PHP finds an index.php
$folder = getenv('FOLDER');
is_dir("$folder/bootstrap/cache") or mkdir("$folder/bootstrap/cache", recursive: true);
$app = new Application($folder);
$app->singleton(Illuminate\Contracts\Http\Kernel::class, ClinicKernel::class);
$app->singleton(Illuminate\Contracts\Debug\ExceptionHandler::class, JsonHandler::class);
$app->instance('config', new Illuminate\Config\Repository(['app' => ['debug' => false]]));

function kept(?array $rows = null): array
{
    $file = getenv('FOLDER').'/kept.json';
    if ($rows !== null) {
        file_put_contents($file, json_encode($rows));
    }
    return is_file($file) ? json_decode(file_get_contents($file), true) : [];
}

$app->booted(function () {
    Route::post('/api/messages', function (Request $request) {
        $rows = kept();
        $row = ['id' => count($rows) + 1] + $request->only('room_id', 'content', 'kind');
        kept([...$rows, $row]);
        return new JsonResponse(['data' => $row], 201);
    });
    Route::get('/api/messages/{id}', fn (int $id) => ['data' => kept()[$id - 1]]);
    Route::match(['put', 'patch'], '/api/messages/{id}', function (Request $request, int $id) {
        $rows = kept();
        $rows[$id - 1] = array_merge($rows[$id - 1], $request->only('content'));
        kept($rows);
        return ['data' => $rows[$id - 1]];
    });
    Route::get('/api/rooms/{room}/messages', function (Request $request, string $room) {
        $room = $request->input('room', $room);  // as an application that binds all of its input
        return ['data' => array_values(array_filter(kept(), fn ($row) => $row['room_id'] === $room))];
    });
});

$kernel = $app->make(Illuminate\Contracts\Http\Kernel::class);
$kernel->handle(Request::capture())->send();
